#include "agent/discovery/cri/sandbox_info.h"

#include <climits>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "agent/discovery/json_place.h"

namespace podtap::discovery::cri {
namespace {

constexpr size_t kMaxBytes = 1 << 20;
constexpr size_t kMaxDepth = 64;

// Follows the text without building anything of it. Returning false ends the parse.
class InfoReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit InfoReader(SandboxInfo& info) : info_(info) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t value) override { return OnNumber(value); }
  bool number_unsigned(number_unsigned_t value) override {
    return OnNumber(value <= INT64_MAX ? static_cast<int64_t>(value) : 0);
  }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }

  bool string(string_t& value) override {
    if (place_.IsAt({"runtimeSpec", "linux", "namespaces", "", "type"})) {
      type_ = std::move(value);
    } else if (place_.IsAt({"runtimeSpec", "linux", "namespaces", "", "path"})) {
      path_ = std::move(value);
    } else if (place_.IsAt({"sandboxMetadata", "Metadata", "NetNSPath"})) {
      info_.metadata_path = std::move(value);
    }
    return true;
  }

  bool key(string_t& value) override {
    place_.SetKey(std::move(value));
    return true;
  }
  bool start_object(size_t) override { return place_.Enter(); }
  bool start_array(size_t) override { return place_.Enter(); }
  bool end_array() override {
    place_.Leave();
    return true;
  }
  bool end_object() override {
    // The keys of an entry of `namespaces` come in any order.
    if (place_.IsAt({"runtimeSpec", "linux", "namespaces", "", place_.key()})) {
      if (type_ == "network") {
        info_.spec_path = path_;
      }
      type_.clear();
      path_.clear();
    }
    place_.Leave();
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception&) override {
    return false;
  }

 private:
  bool OnNumber(int64_t value) {
    if (place_.IsAt({"pid"})) {
      info_.pid = value;
    }
    return true;
  }

  SandboxInfo& info_;
  JsonPlace place_{kMaxDepth};
  // Of the entry of `namespaces` under way.
  std::string type_;
  std::string path_;
};

bool IsUsable(const std::string& path) {
  return !path.empty() && path[0] == '/' && path.size() < PATH_MAX &&
         path.find('\0') == std::string::npos;
}

}  // namespace

std::string SandboxInfo::NamespacePath() const {
  if (IsUsable(spec_path)) {
    return spec_path;
  }
  if (IsUsable(metadata_path)) {
    return metadata_path;
  }
  return pid > 0 ? "/proc/" + std::to_string(pid) + "/ns/net" : std::string();
}

SandboxInfo ParseSandboxInfo(std::string_view json) {
  SandboxInfo info;
  if (json.size() <= kMaxBytes) {
    InfoReader reader(info);
    nlohmann::json::sax_parse(json.begin(), json.end(), &reader);
  }
  return info;
}

}  // namespace podtap::discovery::cri
