// Counters of the stages as lines of the ledger that goes to the collector.
#pragma once

#include <vector>

#include "agent/capture/capture_program.h"
#include "common/counter.h"
#include "podtap/v1/ingest_service.pb.h"

namespace podtap {

v1::LedgerEntry ToLedgerEntry(v1::LedgerStage stage, const CounterValue& value);

// The kernel side's counters by name.
std::vector<v1::LedgerEntry> KernelLedger(const capture::TapCounters& counters);

}  // namespace podtap
