// `podtap observe`: prints what the collector has stored, and with --follow what it stores.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "cli/options.h"
#include "podtap/v1/query_service.grpc.pb.h"

namespace podtap::cli {

// How the collector is reached.
struct ObserveServer {
  // A stub with a connection of its own. Called again after a lost connection, so that changed
  // certificates are used.
  std::function<std::unique_ptr<v1::QueryService::StubInterface>()> connect;
  // Why no connection comes about, in words that go on "the collector: "; empty when it is not
  // known.
  std::function<std::string()> explain;
};

// Where output goes, so that tests can look at it.
struct ObserveOutput {
  // Takes one line of events, without newline, and where to go on behind it: the cursor, empty for
  // events that were listed. Without a line only the place has moved. False when nothing more can
  // be written.
  std::function<bool(const std::optional<std::string>& line, const std::string& cursor)> event_line;
  // Takes one line for people.
  std::function<void(const std::string&)> note;
};

// Runs until everything is printed or the output ends; with --follow for ever, over lost
// connections, unless TLS fails at the first. kInvalidArgument: the collector refuses the filters.
// Errors are one line.
absl::Status Observe(const ObserveOptions& options, const ObserveServer& server,
                     const ObserveOutput& output);

}  // namespace podtap::cli
