// Exchanges that wait for the name of an end: first in, first out, within bounds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>

#include "absl/container/flat_hash_map.h"
#include "agent/pairing/exchange.h"

namespace podtap::enrichment {

struct NameHoldLimits {
  // How long an exchange waits at most.
  int64_t hold_ns = int64_t{2} * 1'000'000'000;
  size_t max_exchanges = 4096;
  size_t max_bytes = 8 << 20;
};

// Belongs to one thread. Times are monotonic.
class NameHold {
 public:
  struct Held {
    pairing::Exchange exchange;
    size_t bytes = 0;
    int64_t until_ns = 0;
  };

  explicit NameHold(const NameHoldLimits& limits) : limits_(limits) {}

  bool empty() const { return held_.empty(); }
  size_t size() const { return held_.size(); }
  size_t bytes() const { return bytes_; }
  // The bounds are exceeded: PopFront() until they are not.
  bool is_over() const {
    return held_.size() > limits_.max_exchanges || bytes_ > limits_.max_bytes;
  }
  // When the oldest one has waited for long enough. Not empty.
  int64_t due_ns() const { return held_.front().until_ns; }
  // Whether one of the connection waits: those behind it have to wait with it.
  bool HasConnection(uint64_t connection_id) const { return connections_.contains(connection_id); }

  void Push(pairing::Exchange exchange, int64_t now_ns);
  // Not empty.
  Held PopFront();
  // What PopFront() gave goes on waiting. To be called for those that do, in their order, after all
  // have been taken.
  void PushAgain(Held held);

 private:
  const NameHoldLimits limits_;
  std::deque<Held> held_;
  size_t bytes_ = 0;
  // Held exchanges by connection.
  absl::flat_hash_map<uint64_t, size_t> connections_;
};

}  // namespace podtap::enrichment
