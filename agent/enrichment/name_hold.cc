#include "agent/enrichment/name_hold.h"

#include <utility>

namespace podtap::enrichment {

void NameHold::Push(pairing::Exchange exchange, int64_t now_ns) {
  const size_t bytes = MemoryOf(exchange);
  PushAgain(
      {.exchange = std::move(exchange), .bytes = bytes, .until_ns = now_ns + limits_.hold_ns});
}

void NameHold::PushAgain(Held held) {
  bytes_ += held.bytes;
  ++connections_[held.exchange.connection_id];
  held_.push_back(std::move(held));
}

NameHold::Held NameHold::PopFront() {
  Held held = std::move(held_.front());
  held_.pop_front();
  bytes_ -= held.bytes;
  const auto found = connections_.find(held.exchange.connection_id);
  if (--found->second == 0) {
    connections_.erase(found);
  }
  return held;
}

}  // namespace podtap::enrichment
