// What `podtap observe` is told on its command line, and its settings from environment and file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "common/grpc_target.h"
#include "common/tls_files.h"
#include "podtap/v1/query_service.pb.h"

namespace podtap::cli {

struct ObserveOptions {
  HostPort server;
  // Null for plain text.
  std::shared_ptr<TlsFiles> tls;
  std::string log_level = "warn";
  bool json = false;
  bool colour = false;
  // Newest events to begin with; absent means all of the time range.
  std::optional<int32_t> last;
  bool follow = false;
  // Where following goes on across runs: read at the start, written after each event. Empty: none.
  std::string cursor_file;
  // Where to begin; empty means from now on.
  std::string cursor;
  v1::TimeRange time_range;
  google::protobuf::RepeatedPtrField<v1::EventFilter> include;
  google::protobuf::RepeatedPtrField<v1::EventFilter> exclude;
};

// What the options depend on besides the arguments.
struct Surroundings {
  bool stdout_is_terminal = false;
  bool no_colour = false;
  int64_t now_ns = 0;
};

// The options, checked, or the exit code to end with (what is wrong has been said).
std::variant<ObserveOptions, int> ParseArguments(int argc, const char* const* argv,
                                                 const Surroundings& surroundings);

}  // namespace podtap::cli
