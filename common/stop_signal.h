// SIGINT and SIGTERM as something to wait for.
#pragma once

#include "absl/status/status.h"

namespace podtap {

// Blocks SIGINT and SIGTERM in the calling thread and all threads it starts later, and ignores
// SIGPIPE. Call first thing in main().
void BlockStopSignals();

// Waits until SIGINT or SIGTERM arrives; returns its number. BlockStopSignals() came before.
int WaitForStopSignal();

}  // namespace podtap
