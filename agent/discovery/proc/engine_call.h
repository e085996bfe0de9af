// One question to a container engine over its socket: Docker's interface, which Podman speaks too.
//
// As HTTP/1.0, whose answer ends with the connection, and with sockets of our own: so that what an
// engine says, and how slowly, is bounded in all.
#pragma once

#include <chrono>
#include <string>

#include "absl/status/statusor.h"

namespace podtap::discovery::proc {

struct EngineLimits {
  // From connecting to the last byte.
  std::chrono::milliseconds deadline{2'000};
  size_t max_bytes = 4 << 20;
};

// The body of the answer to a GET of `target`. Ends early with kCancelled when `stop_fd` becomes
// readable. kNotFound where there is no socket, kPermissionDenied where it may not be used.
absl::StatusOr<std::string> AskEngine(const std::string& socket_path, const std::string& target,
                                      const EngineLimits& limits, int stop_fd);

}  // namespace podtap::discovery::proc
