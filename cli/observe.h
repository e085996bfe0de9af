// `podtap observe`: prints what the collector has stored, and with --follow what it stores.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "cli/options.h"
#include "podtap/v1/query_service.grpc.pb.h"

namespace podtap::cli {

// Where output goes, so that tests can look at it.
struct ObserveOutput {
  // Takes one line of events, without newline; false when nothing more can be written.
  std::function<bool(const std::string&)> event_line;
  // Takes one line for people.
  std::function<void(const std::string&)> note;
};

// Runs until everything is printed or the output ends; with --follow for ever, over lost
// connections. kInvalidArgument: the collector refuses the filters. Errors are one line.
absl::Status Observe(const ObserveOptions& options, v1::QueryService::StubInterface& stub,
                     const ObserveOutput& output);

}  // namespace podtap::cli
