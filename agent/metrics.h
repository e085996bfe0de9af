// The agent's /metrics: its ledger and state in Prometheus's text format. See docs/metrics.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "common/histogram.h"
#include "podtap/v1/ingest_service.pb.h"

namespace podtap {

// Copies of what the stages know.
struct AgentSnapshot {
  v1::AgentStatus status;
  HistogramValues attach_delay;

  // Of the way to the collector; absent without one.
  struct Export {
    bool connected = false;
    uint64_t queue_bytes = 0;
    HistogramValues ack_latency;
  };
  std::optional<Export> exporting;
};

std::string AgentMetrics(const AgentSnapshot& snapshot);

}  // namespace podtap
