// The one ordered log of this agent run: events get their sequence here, wait in memory until the
// collector has stored them, and leave when it says so.
//
// Flow: OnEvent() numbers an event and adds it to the open batch -> a full or aged batch is sealed
// -> Take() hands out what is due, in order -> Acknowledge() trims. Over the memory bound the
// oldest batches that were never handed out are dropped, and a range says so in their place. What
// was handed out stays: the collector may have stored it, and the ledger would count it twice.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "agent/enrichment/event.h"
#include "agent/exporter/batch_builder.h"
#include "agent/exporter/event_encoder.h"
#include "common/clock.h"
#include "common/counter.h"

namespace podtap::exporter {

struct EventLogOptions {
  EventOrigin origin;
  // Of sealed batches; the open one comes on top.
  uint64_t max_bytes = 64 * 1024 * 1024;
  BatchLimits batch;
};

// A run of the log: a batch, or a range that was dropped.
struct LogItem {
  uint64_t first_sequence = 0;
  uint64_t last_sequence = 0;
  // The serialized StreamEventsRequest; shared with those who are sending it. Null for a range
  // that was dropped.
  std::shared_ptr<const std::string> message;

  bool dropped() const { return message == nullptr; }
};

// appended = acked + dropped + queued, at every moment.
struct EventLogCounters {
  uint64_t appended = 0;
  uint64_t acked = 0;
  // Lost: the memory bound was hit while the collector did not take events.
  uint64_t dropped = 0;
  // In the log now, and their bytes.
  uint64_t queued = 0;
  uint64_t queued_bytes = 0;
  // Acknowledgements of sequences that were never handed out.
  uint64_t acks_refused = 0;
  uint64_t events_cut = 0;

  template <typename Visitor>
  void Visit(Visitor&& visit) const {
    visit(CounterValue{.name = "events_appended", .count = appended});
    visit(CounterValue{.name = "events_acked", .count = acked});
    visit(CounterValue{.name = "events_dropped", .count = dropped, .is_loss = true});
    visit(CounterValue{.name = "events_queued", .count = queued, .bytes = queued_bytes});
    visit(CounterValue{.name = "events_cut", .count = events_cut});
    visit(CounterValue{.name = "acks_refused", .count = acks_refused});
  }
};

// Thread-safe. One thread at a time takes; no call does I/O or waits for it.
class EventLog : public enrichment::EventSink {
 public:
  // The clock is borrowed and outlives the log.
  EventLog(const EventLogOptions& options, const Clock& clock);

  void OnEvent(const enrichment::Event& event) override;

  // Seals the open batch when it is old enough. Call about 20 times a second.
  void Seal(int64_t now_ns);
  // Seals the open batch whatever its age.
  void SealNow();

  // The first run of the log that ends after `sequence`, if it is sealed.
  std::optional<LogItem> Take(uint64_t sequence);
  // Everything up to and including `sequence` is stored by the collector, or known there as
  // dropped. False when that can't be, because it was never handed out; then nothing happens.
  bool Acknowledge(uint64_t sequence);

  // Of the newest acknowledgement; 0 before the first.
  uint64_t acked_sequence() const;
  // Of the newest event; 0 before the first.
  uint64_t last_sequence() const;
  EventLogCounters counters() const;

 private:
  // The caller holds the lock in all of these.
  void SealLocked();
  void DropOverBound();
  // Removes the item at `index`, a batch, and says in its place that it was dropped.
  void DropAt(size_t index);

  const EventLogOptions options_;
  const Clock& clock_;

  mutable std::mutex mutex_;
  BatchBuilder builder_;
  // Sealed, in order of sequence, without holes, from the first unacknowledged on.
  std::deque<LogItem> items_;
  // How many of items_, from the front, were handed out.
  size_t taken_ = 0;
  uint64_t taken_sequence_ = 0;
  uint64_t acked_sequence_ = 0;
  uint64_t last_sequence_ = 0;
  uint64_t sealed_bytes_ = 0;
  EventLogCounters counters_;
};

}  // namespace podtap::exporter
