#include "agent/capture/tap_counters.h"

#include "bpf/capture_abi.h"

namespace podtap::capture {
namespace {

struct KernelCounter {
  pt_count index;
  const char* name;
  bool is_loss;
};

constexpr KernelCounter kKernelCounters[] = {
    {PT_COUNT_NOT_IP, "not_ip", false},           {PT_COUNT_NOT_TCP, "not_tcp", false},
    {PT_COUNT_FRAGMENT, "fragment", false},       {PT_COUNT_MALFORMED, "malformed", false},
    {PT_COUNT_EXTENSIONS, "extensions", false},   {PT_COUNT_NO_PAYLOAD, "no_payload", false},
    {PT_COUNT_COPIED, "copied", false},           {PT_COUNT_SAMPLED, "sampled", false},
    {PT_COUNT_SKIPPED, "skipped", false},         {PT_COUNT_CLOSING, "closing", false},
    {PT_COUNT_OPAQUE, "opaque", false},           {PT_COUNT_MIDSTREAM, "midstream", false},
    {PT_COUNT_UNDECIDED, "undecided", false},     {PT_COUNT_TABLE_FULL, "table_full", true},
    {PT_COUNT_RING_FULL, "ring_full", true},      {PT_COUNT_READ_FAILED, "read_failed", true},
    {PT_COUNT_FAIR_SHARE, "fair_share", true},    {PT_TALLY_RECORDS, "records", false},
    {PT_TALLY_RUNS_LOST, "runs_lost", true},      {PT_TALLY_TLS, "tls_connections", false},
    {PT_TALLY_CONNECTIONS, "connections", false},
};

}  // namespace

std::vector<CounterValue> NameCounters(const TapCounters& counters) {
  std::vector<CounterValue> values;
  for (const KernelCounter& counter : kKernelCounters) {
    const pt_counter& value = counters[counter.index];
    values.push_back({.name = counter.name,
                      .count = value.count,
                      .bytes = value.bytes,
                      .is_loss = counter.is_loss});
  }
  return values;
}

}  // namespace podtap::capture
