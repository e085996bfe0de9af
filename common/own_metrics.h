// The metrics that agent and collector have in common: the ledger, the build and the process.
#pragma once

#include <string_view>

#include "common/counter.h"
#include "common/metrics_page.h"

namespace podtap {

// One line of the ledger: into podtap_ledger_total, or podtap_ledger_current when it counts what is
// there now, and into podtap_lost_events_total when it is a loss. `wire_stage` is the wire's name,
// LEDGER_STAGE_KERNEL for "kernel".
void AddLedgerLine(MetricsPage& page, std::string_view wire_stage, const CounterValue& value);

// podtap_build_info, and the process_* metrics that Prometheus's own clients have. What the kernel
// does not tell is left out.
void AddProcess(MetricsPage& page);

}  // namespace podtap
