#include "agent/capture/tap_counters.h"

#include <initializer_list>

#include "bpf/capture_abi.h"

namespace podtap::capture {
namespace {

struct KernelCounter {
  pt_count index;
  const char* name;
  bool is_loss;
};

struct ClassOfReason {
  pt_count reason;
  TrafficClass traffic_class;
};

// Packets with payload. What was lost is of a class as well, but nobody knows which.
constexpr ClassOfReason kPayloadReasons[] = {
    {PT_COUNT_COPIED, TrafficClass::kHttp1},
    {PT_COUNT_SAMPLED, TrafficClass::kHttp1},
    {PT_COUNT_SKIPPED, TrafficClass::kHttp1},
    {PT_COUNT_HTTP2, TrafficClass::kHttp2},
    {PT_COUNT_TLS, TrafficClass::kTls},
    {PT_COUNT_OPAQUE, TrafficClass::kOther},
    {PT_COUNT_UNDECIDED, TrafficClass::kOther},
    {PT_COUNT_EXAMINED, TrafficClass::kUnknown},
    {PT_COUNT_MIDSTREAM, TrafficClass::kUnknown},
    {PT_COUNT_TABLE_FULL, TrafficClass::kUnknown},
    {PT_COUNT_RING_FULL, TrafficClass::kUnknown},
    {PT_COUNT_READ_FAILED, TrafficClass::kUnknown},
    {PT_COUNT_FAIR_SHARE, TrafficClass::kUnknown},
};

constexpr KernelCounter kKernelCounters[] = {
    {PT_COUNT_NOT_IP, "not_ip", false},
    {PT_COUNT_NOT_TCP, "not_tcp", false},
    {PT_COUNT_FRAGMENT, "fragment", false},
    {PT_COUNT_MALFORMED, "malformed", false},
    {PT_COUNT_EXTENSIONS, "extensions", false},
    {PT_COUNT_NO_PAYLOAD, "no_payload", false},
    {PT_COUNT_COPIED, "copied", false},
    {PT_COUNT_SAMPLED, "sampled", false},
    {PT_COUNT_SKIPPED, "skipped", false},
    {PT_COUNT_CLOSING, "closing", false},
    {PT_COUNT_EXAMINED, "examined", false},
    {PT_COUNT_TLS, "tls", false},
    {PT_COUNT_HTTP2, "http2", false},
    {PT_COUNT_OPAQUE, "opaque", false},
    {PT_COUNT_MIDSTREAM, "midstream", false},
    {PT_COUNT_UNDECIDED, "undecided", false},
    {PT_COUNT_TABLE_FULL, "table_full", true},
    {PT_COUNT_RING_FULL, "ring_full", true},
    {PT_COUNT_READ_FAILED, "read_failed", true},
    {PT_COUNT_FAIR_SHARE, "fair_share", true},
    {PT_TALLY_RECORDS, "records", false},
    {PT_TALLY_RUNS_LOST, "runs_lost", true},
    {PT_TALLY_TLS, "tls_connections", false},
    {PT_TALLY_CONNECTIONS, "connections", false},
};

uint64_t SumOf(const TapCounters& counters, std::initializer_list<pt_count> reasons) {
  uint64_t packets = 0;
  for (const pt_count reason : reasons) {
    packets += counters[reason].count();
  }
  return packets;
}

}  // namespace

std::vector<CounterValue> NameCounters(const TapCounters& counters) {
  std::vector<CounterValue> values;
  for (const KernelCounter& counter : kKernelCounters) {
    const TapCounter& value = counters[counter.index];
    values.push_back({.name = counter.name,
                      .count = value.count(),
                      .bytes = value.bytes(),
                      .is_loss = counter.is_loss});
  }
  return values;
}

uint64_t PacketsOf(const TapCounters& counters) {
  uint64_t packets = 0;
  for (size_t reason = 0; reason < PT_COUNT_REASONS; ++reason) {
    packets += counters[reason].count();
  }
  return packets;
}

uint64_t LostPacketsOf(const TapCounters& counters) {
  return SumOf(counters, {PT_COUNT_TABLE_FULL, PT_COUNT_RING_FULL, PT_COUNT_READ_FAILED,
                          PT_COUNT_FAIR_SHARE});
}

uint64_t TimedPacketsOf(const TapCounters& counters) {
  return SumOf(counters, {PT_COUNT_COPIED, PT_COUNT_SAMPLED, PT_COUNT_SKIPPED, PT_COUNT_CLOSING,
                          PT_COUNT_EXAMINED, PT_COUNT_NO_PAYLOAD});
}

Traffic TrafficOf(const TapCounters& counters) {
  Traffic traffic{};
  for (const auto& [reason, traffic_class] : kPayloadReasons) {
    for (size_t direction = 0; direction < 2; ++direction) {
      pt_counter& sum = traffic[static_cast<size_t>(traffic_class)].by_direction[direction];
      sum.count += counters[reason].by_direction[direction].count;
      sum.bytes += counters[reason].by_direction[direction].bytes;
    }
  }
  return traffic;
}

TcpPackets TcpPacketsOf(const TapCounters& counters, Direction direction) {
  const auto index = static_cast<size_t>(direction);
  TcpPackets packets;
  for (const auto& [reason, traffic_class] : kPayloadReasons) {
    packets.with_payload += counters[reason].by_direction[index].count;
  }
  packets.all = packets.with_payload + counters[PT_COUNT_NO_PAYLOAD].by_direction[index].count +
                counters[PT_COUNT_CLOSING].by_direction[index].count;
  return packets;
}

}  // namespace podtap::capture
