#include "agent/discovery/proc/engine_list.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

namespace podtap::discovery::proc {
namespace {

constexpr size_t kMaxDepth = 64;
// Ids are 64 hex digits; what is far from that is none.
constexpr size_t kMaxId = 256;

// Follows the text without building anything of it. Returning false ends the parse.
class ListReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  ListReader(EngineList& list, size_t max_containers)
      : list_(list), max_containers_(max_containers) {}

  bool null() override { return !keys_.empty(); }
  bool boolean(bool) override { return !keys_.empty(); }
  bool number_integer(number_integer_t) override { return !keys_.empty(); }
  bool number_unsigned(number_unsigned_t) override { return !keys_.empty(); }
  bool number_float(number_float_t, const string_t&) override { return !keys_.empty(); }
  bool binary(binary_t&) override { return false; }

  bool string(string_t& value) override {
    if (IsAt({"", "Id"})) {
      id_ = std::move(value);
    } else if (IsAt({"", "Image"})) {
      container_.image = std::move(value);
    } else if (IsAt({"", "Names", ""}) && container_.name.empty()) {
      // Written as a path, "/web". Further ones are those that links give it.
      container_.name = value.substr(value.rfind('/') + 1);
    }
    return !keys_.empty();
  }
  bool key(string_t& value) override {
    keys_.back() = std::move(value);
    return true;
  }
  bool start_object(size_t) override { return !keys_.empty() && Push(); }
  bool start_array(size_t) override { return Push(); }
  bool end_array() override { return Pop(); }
  bool end_object() override {
    // The keys of an element come in any order.
    if (keys_.size() == 2) {
      if (!id_.empty() && id_.size() <= kMaxId && list_.size() < max_containers_) {
        list_.emplace(std::move(id_), std::move(container_));
      }
      id_.clear();
      container_ = {};
    }
    return Pop();
  }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception&) override {
    return false;
  }

 private:
  bool Push() {
    keys_.emplace_back();
    return keys_.size() <= kMaxDepth;
  }
  bool Pop() {
    keys_.pop_back();
    return true;
  }
  bool IsAt(std::initializer_list<std::string_view> place) const {
    return std::equal(keys_.begin(), keys_.end(), place.begin(), place.end());
  }

  EngineList& list_;
  const size_t max_containers_;
  // The key under way in each open object; empty for an array.
  std::vector<std::string> keys_;
  // Of the element under way.
  std::string id_;
  Container container_;
};

}  // namespace

std::optional<EngineList> ParseEngineList(std::string_view json, size_t max_containers) {
  EngineList list;
  ListReader reader(list, max_containers);
  if (!nlohmann::json::sax_parse(json.begin(), json.end(), &reader)) {
    return std::nullopt;
  }
  return list;
}

}  // namespace podtap::discovery::proc
