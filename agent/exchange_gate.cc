#include "agent/exchange_gate.h"

#include <utility>

namespace podtap {

void ExchangeGate::OnExchange(pairing::Exchange exchange) {
  if (waiting_.empty() && (progress_.rings() == 1 || exchange.end_ns <= progress_.least())) {
    next_.OnExchange(std::move(exchange));
    return;
  }
  bytes_ += pairing::MemoryOf(exchange);
  waiting_.push_back(std::move(exchange));
  while (waiting_.size() > kMaxWaiting / progress_.rings() ||
         bytes_ > kMaxWaitingBytes / progress_.rings()) {
    ++waits_cut_;
    PassFront();
  }
}

void ExchangeGate::Release() {
  const int64_t least = progress_.least();
  while (!waiting_.empty() && waiting_.front().end_ns <= least) {
    PassFront();
  }
}

void ExchangeGate::PassFront() {
  pairing::Exchange exchange = std::move(waiting_.front());
  waiting_.pop_front();
  bytes_ -= pairing::MemoryOf(exchange);
  next_.OnExchange(std::move(exchange));
}

}  // namespace podtap
