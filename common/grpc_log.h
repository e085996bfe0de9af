// gRPC's own log.
#pragma once

#include <cstdint>

namespace podtap {

// What becomes of failed TLS handshakes, besides being counted.
enum class HandshakeReport {
  // A client tells in its own words why it has no connection.
  kNone,
  // A server learns of them from gRPC's log alone: a warning, at most one in ten seconds.
  kWarn,
};

// Sends gRPC's log lines to ours at level debug: what matters of them reaches people as a status,
// and a failed connection must not print more than one line. Call before the first use of gRPC.
void RouteGrpcLog(HandshakeReport report = HandshakeReport::kNone);

// TLS handshakes of this process that failed since RouteGrpcLog().
uint64_t FailedTlsHandshakes();

}  // namespace podtap
