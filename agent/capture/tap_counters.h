// The kernel side's counters by name, as lines of the ledger.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "agent/capture/capture_program.h"
#include "agent/capture/segment.h"
#include "common/counter.h"

namespace podtap::capture {

// Every counter of a tap, or of a sum over taps.
std::vector<CounterValue> NameCounters(const TapCounters& counters);

// Packets of any kind, both ways.
uint64_t PacketsOf(const TapCounters& counters);
// Those of them that were lost.
uint64_t LostPacketsOf(const TapCounters& counters);
// Those of them that a record tells the time of, and those that come along with them: TCP without
// payload.
uint64_t TimedPacketsOf(const TapCounters& counters);

// What the payloads are of that went by.
enum class TrafficClass : uint8_t {
  kHttp1,
  kHttp2,
  kTls,
  // Another protocol, upgraded connections and tunnels included.
  kOther,
  // Too little was seen of the connection to tell.
  kUnknown,
};
inline constexpr size_t kTrafficClasses = 5;

// Packets with payload, and their payload bytes, by class and Direction.
using Traffic = std::array<TapCounter, kTrafficClasses>;
Traffic TrafficOf(const TapCounters& counters);

// Packets of one direction.
struct TcpPackets {
  // With or without payload.
  uint64_t all = 0;
  uint64_t with_payload = 0;
};
TcpPackets TcpPacketsOf(const TapCounters& counters, Direction direction);

}  // namespace podtap::capture
