// Value: one TCP segment (or a coalesced run of them) of a tracked connection, as the kernel side
// reported it. Input of reassembly.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "common/ip_address.h"

namespace podtap::capture {

// Direction of a segment relative to the tapped pod. On loopback, where both ends are the pod's,
// the one with the lower port stands for the pod; of equal ports, the one with the lower address.
enum class Direction : uint8_t { kFromPod = 0, kToPod = 1 };

constexpr Direction Opposite(Direction direction) {
  return direction == Direction::kFromPod ? Direction::kToPod : Direction::kFromPod;
}

// A tap slot and how many times it has been used. Both together never repeat in one agent run, so
// that a late record of a closed tap is never charged to the slot's next owner.
struct TapId {
  uint32_t slot = 0;
  uint32_t generation = 0;

  friend bool operator==(const TapId&, const TapId&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const TapId& tap) {
    return H::combine(std::move(state), tap.slot, tap.generation);
  }
};

// Taps that can be open at once: slots are below it.
inline constexpr uint32_t kMaxTaps = 1024;

// A connection on one tap. "Local" is the tapped pod's end.
struct ConnectionKey {
  TapId tap;
  IpAddress local;
  IpAddress remote;
  uint16_t local_port = 0;
  uint16_t remote_port = 0;
  // When the kernel side began to track the connection (CLOCK_MONOTONIC). Tells connections that
  // reuse a tuple apart.
  int64_t opened_ns = 0;

  friend bool operator==(const ConnectionKey&, const ConnectionKey&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const ConnectionKey& key) {
    return H::combine(std::move(state), key.tap, key.local, key.remote, key.local_port,
                      key.remote_port, key.opened_ns);
  }
};

// Spans are borrowed from the ring and valid only during the call that passes the segment.
struct Segment {
  ConnectionKey key;
  Direction direction = Direction::kFromPod;
  // bpf_ktime_get_ns() at the tap; of the last segment when coalesced.
  int64_t time_ns = 0;
  // Of the first payload byte, host order. A FIN occupies the number after the last payload byte.
  uint32_t seq = 0;
  // Payload bytes on the wire. A coalesced run covers [seq, seq + wire_len) without a copy.
  uint32_t wire_len = 0;
  // The first bytes of the payload. head.size() + tail.size() <= wire_len.
  std::span<const uint8_t> head;
  // The last bytes of the payload, when the middle was not copied; else empty.
  std::span<const uint8_t> tail;
  bool fin = false;
  bool rst = false;
  // One record for several segments whose bytes were not wanted.
  bool coalesced = false;
  // Who sent the SYN, where it was seen. Absent means that the tap came later than the connection.
  std::optional<Direction> client;
  // Initial sequence numbers by sender (indexed by Direction), where the SYN was seen.
  std::optional<uint32_t> initial_seq[2];
};

}  // namespace podtap::capture
