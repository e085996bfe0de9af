// What the shards see on each tap: exchanges, and when something came last.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <utility>

#include "agent/capture/segment.h"
#include "agent/pairing/exchange.h"

namespace podtap {

// Thread-safe and lock-free: shards write, whoever reports reads.
//
// A slot's figures begin anew with each use of the slot. What a shard still has of an older use is
// not counted, which the generation beside each figure sees to.
class TapActivity {
 public:
  struct Values {
    uint64_t exchanges = 0;
    uint64_t open_exchanges = 0;
    // Time of the newest record of the tap, monotonic; 0 when there was none.
    int64_t last_record_ns = 0;
  };

  // Call before the tap's first record can arrive.
  void Begin(const capture::TapId& tap) {
    Slot& slot = slots_[tap.slot];
    slot.last_record_ns.store(0, std::memory_order_relaxed);
    slot.ended.Begin(tap.generation);
    slot.open.Begin(tap.generation);
  }
  void OnRecord(const capture::TapId& tap, int64_t time_ns) {
    Slot& slot = slots_[tap.slot];
    // Several shards share a slot: to the millisecond, they seldom take it from each other.
    if (slot.ended.Is(tap.generation) &&
        time_ns > slot.last_record_ns.load(std::memory_order_relaxed) + kRecordStepNs) {
      slot.last_record_ns.store(time_ns, std::memory_order_relaxed);
    }
  }
  void OnBegin(const capture::TapId& tap) { slots_[tap.slot].open.Add(tap.generation, 1); }
  void OnUnconfirmed(const capture::TapId& tap) { slots_[tap.slot].open.Add(tap.generation, -1); }
  void OnExchange(const capture::TapId& tap) {
    slots_[tap.slot].open.Add(tap.generation, -1);
    slots_[tap.slot].ended.Add(tap.generation, 1);
  }

  // All zero when the slot has another user.
  Values Get(const capture::TapId& tap) const {
    const Slot& slot = slots_[tap.slot];
    if (!slot.ended.Is(tap.generation)) {
      return {};
    }
    return {.exchanges = slot.ended.Get(tap.generation),
            .open_exchanges = slot.open.Get(tap.generation),
            .last_record_ns = slot.last_record_ns.load(std::memory_order_relaxed)};
  }

 private:
  static constexpr int64_t kRecordStepNs = 1'000'000;

  // A number of 40 bits together with the low 24 bits of the generation it belongs to.
  class Figure {
   public:
    void Begin(uint32_t generation) {
      word_.store(uint64_t{generation} << kBits, std::memory_order_relaxed);
    }
    bool Is(uint32_t generation) const {
      return IsOf(word_.load(std::memory_order_relaxed), generation);
    }
    void Add(uint32_t generation, int64_t change) {
      uint64_t word = word_.load(std::memory_order_relaxed);
      while (IsOf(word, generation) &&
             !word_.compare_exchange_weak(word, With(word, change), std::memory_order_relaxed)) {
      }
    }
    uint64_t Get(uint32_t generation) const {
      const uint64_t word = word_.load(std::memory_order_relaxed);
      return IsOf(word, generation) ? word & kMask : 0;
    }

   private:
    static constexpr int kBits = 40;
    static constexpr uint64_t kMask = (uint64_t{1} << kBits) - 1;

    static bool IsOf(uint64_t word, uint32_t generation) {
      return (word & ~kMask) == uint64_t{generation} << kBits;
    }
    static uint64_t With(uint64_t word, int64_t change) {
      return (word & ~kMask) | ((word + static_cast<uint64_t>(change)) & kMask);
    }

    std::atomic<uint64_t> word_{0};
  };

  struct alignas(64) Slot {
    Figure ended;
    Figure open;
    std::atomic<int64_t> last_record_ns{0};
  };

  std::array<Slot, capture::kMaxTaps> slots_;
};

// Notes what passes.
class ActivitySink : public pairing::ExchangeSink {
 public:
  // Both are borrowed and outlive the sink.
  ActivitySink(TapActivity& activity, pairing::ExchangeSink& next)
      : activity_(activity), next_(next) {}

  void OnExchange(pairing::Exchange exchange) override {
    activity_.OnExchange(exchange.connection.tap);
    next_.OnExchange(std::move(exchange));
  }
  void OnBegin(const capture::TapId& tap) override { activity_.OnBegin(tap); }
  void OnUnconfirmed(const capture::TapId& tap) override { activity_.OnUnconfirmed(tap); }

 private:
  TapActivity& activity_;
  pairing::ExchangeSink& next_;
};

}  // namespace podtap
