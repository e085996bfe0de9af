#include "agent/discovery/proc/engine_list.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "agent/discovery/json_place.h"

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

  bool null() override { return place_.depth() > 0; }
  bool boolean(bool) override { return place_.depth() > 0; }
  bool number_integer(number_integer_t) override { return place_.depth() > 0; }
  bool number_unsigned(number_unsigned_t) override { return place_.depth() > 0; }
  bool number_float(number_float_t, const string_t&) override { return place_.depth() > 0; }
  bool binary(binary_t&) override { return false; }

  bool string(string_t& value) override {
    if (place_.IsAt({"", "Id"})) {
      id_ = std::move(value);
    } else if (place_.IsAt({"", "Image"})) {
      container_.image = std::move(value);
    } else if (place_.IsAt({"", "Names", ""}) && container_.name.empty()) {
      // Written as a path, "/web". Further ones are those that links give it.
      container_.name = value.substr(value.rfind('/') + 1);
    }
    return place_.depth() > 0;
  }
  bool key(string_t& value) override {
    place_.SetKey(std::move(value));
    return true;
  }
  bool start_object(size_t) override { return place_.depth() > 0 && place_.Enter(); }
  bool start_array(size_t) override { return place_.Enter(); }
  bool end_array() override {
    place_.Leave();
    return true;
  }
  bool end_object() override {
    // The keys of an element come in any order.
    if (place_.depth() == 2) {
      if (!id_.empty() && id_.size() <= kMaxId && list_.size() < max_containers_) {
        list_.emplace(std::move(id_), std::move(container_));
      }
      id_.clear();
      container_ = {};
    }
    place_.Leave();
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception&) override {
    return false;
  }

 private:
  EngineList& list_;
  const size_t max_containers_;
  JsonPlace place_{kMaxDepth};
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
