// Why a connection to a server does not come about, in words.
//
// gRPC says little more than "handshake failed", and nothing of what the server thinks of our
// certificate. So a failed connection is tried once more, by hand, up to the point where it fails.
#pragma once

#include <chrono>
#include <string>

#include "common/grpc_target.h"
#include "common/tls_material.h"

namespace podtap {

// Connects, shakes hands as a client of gRPC would, and ends the connection. `material` is what the
// connection that failed used; null for plain text. The text goes on "the collector ...: "; empty
// when nothing is wrong with TLS, or the time was up. Blocks up to `timeout`, and for as long as
// the name takes to resolve. SIGPIPE must be ignored.
std::string ExplainRefusal(const HostPort& address, const TlsMaterial* material,
                           std::chrono::milliseconds timeout);

}  // namespace podtap
