#include "agent/ledger.h"

#include "bpf/capture_abi.h"

namespace podtap {
namespace {

struct KernelCounter {
  pt_count index;
  const char* name;
  bool is_loss;
};

constexpr KernelCounter kKernelCounters[] = {
    {PT_COUNT_NOT_IP, "not_ip", false},         {PT_COUNT_NOT_TCP, "not_tcp", false},
    {PT_COUNT_FRAGMENT, "fragment", false},     {PT_COUNT_MALFORMED, "malformed", false},
    {PT_COUNT_EXTENSIONS, "extensions", false}, {PT_COUNT_NO_PAYLOAD, "no_payload", false},
    {PT_COUNT_COPIED, "copied", false},         {PT_COUNT_SAMPLED, "sampled", false},
    {PT_COUNT_SKIPPED, "skipped", false},       {PT_COUNT_CLOSING, "closing", false},
    {PT_COUNT_OPAQUE, "opaque", false},         {PT_COUNT_MIDSTREAM, "midstream", false},
    {PT_COUNT_UNDECIDED, "undecided", false},   {PT_COUNT_TABLE_FULL, "table_full", true},
    {PT_COUNT_RING_FULL, "ring_full", true},    {PT_COUNT_READ_FAILED, "read_failed", true},
    {PT_TALLY_RECORDS, "records", false},       {PT_TALLY_RUNS_LOST, "runs_lost", true},
    {PT_TALLY_TLS, "tls_connections", false},   {PT_TALLY_CONNECTIONS, "connections", false},
};

}  // namespace

v1::LedgerEntry ToLedgerEntry(v1::LedgerStage stage, const CounterValue& value) {
  v1::LedgerEntry entry;
  entry.set_stage(stage);
  entry.set_name(std::string(value.name));
  entry.set_count(value.count);
  entry.set_bytes(value.bytes);
  entry.set_is_loss(value.is_loss);
  return entry;
}

std::vector<v1::LedgerEntry> KernelLedger(const capture::TapCounters& counters) {
  std::vector<v1::LedgerEntry> entries;
  for (const KernelCounter& counter : kKernelCounters) {
    const pt_counter& value = counters[counter.index];
    entries.push_back(ToLedgerEntry(v1::LEDGER_STAGE_KERNEL, {.name = counter.name,
                                                              .count = value.count,
                                                              .bytes = value.bytes,
                                                              .is_loss = counter.is_loss}));
  }
  return entries;
}

}  // namespace podtap
