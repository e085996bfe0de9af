// The kernel side's counters by name, as lines of the ledger.
#pragma once

#include <vector>

#include "agent/capture/capture_program.h"
#include "common/counter.h"

namespace podtap::capture {

// Every counter of a tap, or of a sum over taps.
std::vector<CounterValue> NameCounters(const TapCounters& counters);

}  // namespace podtap::capture
