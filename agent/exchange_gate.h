// Lets an exchange pass once every ring has been read up to its end.
//
// Both ends of an exchange have told who they are by then: a packet is seen by its sender's tap
// before it is by the receiver's. With one ring the order of the records says so; with several the
// sender's record may lie in a ring that another thread has still to read. With one ring nothing
// waits.
#pragma once

#include <cstdint>
#include <deque>

#include "agent/pairing/exchange.h"
#include "agent/ring_progress.h"
#include "common/counter.h"

namespace podtap {

// Belongs to one shard's thread.
class ExchangeGate : public pairing::ExchangeSink {
 public:
  // What waits at most, of all shards together; beyond, the oldest passes early.
  static constexpr size_t kMaxWaiting = 16'384;
  static constexpr size_t kMaxWaitingBytes = 16 << 20;

  // Both are borrowed and outlive the gate. Exchanges keep their order.
  ExchangeGate(const RingProgress& progress, pairing::ExchangeSink& next)
      : progress_(progress), next_(next) {}

  void OnExchange(pairing::Exchange exchange) override;
  // Lets pass what may. Call each time some of the ring has been read.
  void Release();
  bool empty() const { return waiting_.empty(); }

  // Calls visit(CounterValue) for every counter.
  template <typename Visitor>
  void Visit(Visitor&& visit) const {
    visit(CounterValue{.name = "exchanges_waiting", .count = waiting_.size(), .bytes = bytes_});
    visit(CounterValue{.name = "waits_cut", .count = waits_cut_});
  }

 private:
  void PassFront();

  const RingProgress& progress_;
  pairing::ExchangeSink& next_;
  std::deque<pairing::Exchange> waiting_;
  size_t bytes_ = 0;
  // Passed early: costs the name of the far end at most.
  uint64_t waits_cut_ = 0;
};

}  // namespace podtap
