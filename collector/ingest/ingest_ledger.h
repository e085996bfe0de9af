// The collector's own ledger: what came in and what became of it, since the collector started.
//
// events_received = events_stored + events_duplicate + events_rejected + events_not_stored, apart
// from what is on its way to the store.
#pragma once

#include <atomic>
#include <cstdint>

#include "podtap/v1/ingest_service.pb.h"

namespace podtap::ingest {

struct IngestLedger {
  using Counter = std::atomic<uint64_t>;

  Counter events_received = 0;
  Counter events_stored = 0;
  // Sent again although stored, or known to be dropped, already.
  Counter events_duplicate = 0;
  // In batches that can't be used. Lost.
  Counter events_rejected = 0;
  // The store could not take them; the agent sends them again.
  Counter events_not_stored = 0;
  // Never sent, without a word about it. Lost.
  Counter sequence_hole = 0;
  // Told by agents to be dropped; a loss of the agents'.
  Counter events_dropped_by_agents = 0;
  Counter streams_opened = 0;
  Counter streams_taken_over = 0;
  // Beyond the bound on nodes or streams.
  Counter streams_refused = 0;
  Counter protocol_errors = 0;
  // Lines of agents' ledgers beyond the bound, or without a usable stage or name.
  Counter status_lines_ignored = 0;

  // Calls visitor(name, count, is_loss).
  template <typename Visitor>
  void Visit(Visitor visitor) const {
    visitor("events_received", events_received.load(), false);
    visitor("events_stored", events_stored.load(), false);
    visitor("events_duplicate", events_duplicate.load(), false);
    visitor("events_rejected", events_rejected.load(), true);
    visitor("events_not_stored", events_not_stored.load(), false);
    visitor("sequence_hole", sequence_hole.load(), true);
    visitor("events_dropped_by_agents", events_dropped_by_agents.load(), false);
    visitor("streams_opened", streams_opened.load(), false);
    visitor("streams_taken_over", streams_taken_over.load(), false);
    visitor("streams_refused", streams_refused.load(), false);
    visitor("protocol_errors", protocol_errors.load(), false);
    visitor("status_lines_ignored", status_lines_ignored.load(), false);
  }
};

}  // namespace podtap::ingest
