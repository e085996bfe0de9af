// Counters of the stages as lines of the ledger that goes to the collector.
#pragma once

#include "common/counter.h"
#include "podtap/v1/ingest_service.pb.h"

namespace podtap {

v1::LedgerEntry ToLedgerEntry(const LedgerLine& line);

}  // namespace podtap
