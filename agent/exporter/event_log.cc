#include "agent/exporter/event_log.h"

#include <algorithm>
#include <utility>

namespace podtap::exporter {

EventLog::EventLog(const EventLogOptions& options, const Clock& clock)
    : options_(options), clock_(clock), builder_(options.origin, options.batch) {}

void EventLog::OnEvent(const enrichment::Event& event) {
  const std::lock_guard lock(mutex_);
  // The clock is read once per batch.
  const int64_t now_ns = builder_.empty() ? clock_.MonotonicNs() : 0;
  builder_.Add(event, ++last_sequence_, now_ns);
  ++counters_.appended;
  if (builder_.IsFull()) {
    SealLocked();
  }
}

void EventLog::Seal(int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  if (builder_.IsAged(now_ns)) {
    SealLocked();
  }
}

void EventLog::SealNow() {
  const std::lock_guard lock(mutex_);
  if (!builder_.empty()) {
    SealLocked();
  }
}

void EventLog::SealLocked() {
  Batch batch = builder_.Finish();
  sealed_bytes_ += batch.message.size();
  items_.push_back({.first_sequence = batch.first_sequence,
                    .last_sequence = batch.first_sequence + batch.events - 1,
                    .message = std::make_shared<const std::string>(std::move(batch.message))});
  DropOverBound();
}

void EventLog::DropOverBound() {
  while (sealed_bytes_ > options_.max_bytes) {
    // The first that was not handed out may be a range that was dropped already.
    size_t index = taken_;
    if (index < items_.size() && items_[index].dropped()) {
      ++index;
    }
    if (index >= items_.size()) {
      return;
    }
    DropAt(index);
  }
}

void EventLog::DropAt(size_t index) {
  LogItem& item = items_[index];
  sealed_bytes_ -= item.message->size();
  counters_.dropped += item.last_sequence - item.first_sequence + 1;
  if (index > taken_) {
    items_[index - 1].last_sequence = item.last_sequence;
    items_.erase(items_.begin() + static_cast<std::ptrdiff_t>(index));
  } else {
    item.message = nullptr;
  }
}

std::optional<LogItem> EventLog::Take(uint64_t sequence) {
  const std::lock_guard lock(mutex_);
  const auto next = std::lower_bound(
      items_.begin(), items_.end(), sequence,
      [](const LogItem& item, uint64_t value) { return item.last_sequence <= value; });
  if (next == items_.end()) {
    return std::nullopt;
  }
  const size_t count = static_cast<size_t>(next - items_.begin()) + 1;
  if (count > taken_) {
    taken_ = count;
    taken_sequence_ = next->last_sequence;
  }
  return *next;
}

bool EventLog::Acknowledge(uint64_t sequence) {
  const std::lock_guard lock(mutex_);
  if (sequence > taken_sequence_) {
    ++counters_.acks_refused;
    return false;
  }
  if (sequence <= acked_sequence_) {
    return true;
  }
  while (!items_.empty()) {
    LogItem& item = items_.front();
    const uint64_t first = std::max(item.first_sequence, acked_sequence_ + 1);
    if (first > sequence) {
      break;
    }
    if (!item.dropped()) {
      counters_.acked += std::min(item.last_sequence, sequence) - first + 1;
    }
    if (item.last_sequence > sequence) {
      // In the middle of a batch: it is kept whole until its end is acknowledged. Sending it again
      // is harmless, since the collector knows what it has.
      break;
    }
    sealed_bytes_ -= item.dropped() ? 0 : item.message->size();
    items_.pop_front();
    --taken_;
  }
  acked_sequence_ = sequence;
  return true;
}

uint64_t EventLog::acked_sequence() const {
  const std::lock_guard lock(mutex_);
  return acked_sequence_;
}

uint64_t EventLog::last_sequence() const {
  const std::lock_guard lock(mutex_);
  return last_sequence_;
}

EventLogCounters EventLog::counters() const {
  const std::lock_guard lock(mutex_);
  EventLogCounters counters = counters_;
  counters.queued = counters.appended - counters.acked - counters.dropped;
  counters.queued_bytes = sealed_bytes_ + builder_.bytes();
  counters.events_cut = builder_.events_cut();
  return counters;
}

}  // namespace podtap::exporter
