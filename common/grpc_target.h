// HOST:PORT addresses of gRPC servers and clients, and the rule for plain text.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace podtap {

// A HOST:PORT that has been checked.
struct HostPort {
  // Without brackets.
  std::string host;
  uint16_t port = 0;
  // Loopback by its text: localhost, 127.0.0.0/8 or ::1. Names are not resolved.
  bool is_loopback = false;

  // "host:port", brackets around IPv6.
  std::string ToString() const;
};

// Parses "host:port", "1.2.3.4:port" or "[::1]:port"; brackets around an IPv4 address do no harm.
// kInvalidArgument names `flag`.
absl::StatusOr<HostPort> ParseHostPort(const std::string& flag, const std::string& text);

// Plain text on anything but loopback needs --insecure; kInvalidArgument says so otherwise.
absl::Status CheckPlainText(const std::string& flag, const HostPort& address, bool insecure);

}  // namespace podtap
