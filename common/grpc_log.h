// gRPC's own log.
#pragma once

namespace podtap {

// Sends gRPC's log lines to ours at level debug: what matters of them reaches people as a status,
// and a failed connection must not print more than one line. Call before the first use of gRPC.
void RouteGrpcLog();

}  // namespace podtap
