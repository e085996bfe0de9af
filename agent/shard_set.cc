#include "agent/shard_set.h"

#include <algorithm>
#include <utility>

#include "common/status.h"

namespace podtap {

absl::StatusOr<std::unique_ptr<ShardSet>> ShardSet::Start(
    const ShardOptions& options, const capture::CaptureProgram& program,
    enrichment::TapDirectory& directory, const Clock& clock, tls::HandshakeSink& handshakes,
    const std::vector<enrichment::EventSink*>& sinks, exporter::EventLog* log) {
  std::unique_ptr<ShardSet> set(new ShardSet(directory, program.rings()));
  ShardOptions each = options;
  each.limits.max_connections /= program.rings();
  each.limits.max_reordered_bytes /= program.rings();
  each.enricher.hold.max_exchanges /= program.rings();
  each.enricher.hold.max_bytes /= program.rings();
  for (uint32_t ring = 0; ring < program.rings(); ++ring) {
    PODTAP_ASSIGN_OR_RETURN(
        std::unique_ptr<Shard> shard,
        Shard::Start(each, program, ring, directory, set->common_, clock, handshakes, sinks, log));
    set->shards_.push_back(std::move(shard));
  }
  return set;
}

ShardSet::~ShardSet() { Stop(); }

void ShardSet::TapClosed(const capture::TapId& tap) {
  for (const std::unique_ptr<Shard>& shard : shards_) {
    shard->TapClosed(tap);
  }
}

void ShardSet::Stop() {
  if (stopped_) {
    return;
  }
  stopped_ = true;
  // A ring whose shard could not be started is read by nobody.
  for (auto ring = static_cast<uint32_t>(shards_.size()); ring < common_.progress.rings(); ++ring) {
    common_.progress.Set(ring, INT64_MAX);
  }
  for (const std::unique_ptr<Shard>& shard : shards_) {
    shard->RequestStop();
  }
  for (const std::unique_ptr<Shard>& shard : shards_) {
    shard->Join();
  }
}

std::vector<LedgerLine> ShardSet::Ledger() const {
  // Every shard has the same lines in the same order.
  std::vector<LedgerLine> sums = shards_.front()->Ledger();
  for (size_t i = 1; i < shards_.size(); ++i) {
    const std::vector<LedgerLine> ledger = shards_[i]->Ledger();
    if (sums.empty()) {
      sums = ledger;
      continue;
    }
    for (size_t line = 0; line < ledger.size(); ++line) {
      sums[line].value.count += ledger[line].value.count;
      sums[line].value.bytes += ledger[line].value.bytes;
    }
  }
  common_.book.Visit([&sums](const CounterValue& value) {
    sums.push_back({LedgerStage::kEnrichment, value});
  });
  return sums;
}

uint64_t ShardSet::open_exchanges() const {
  uint64_t sum = 0;
  for (const std::unique_ptr<Shard>& shard : shards_) {
    sum += shard->open_exchanges();
  }
  return sum;
}

int64_t ShardSet::ledger_time_ns() const {
  int64_t oldest = shards_.front()->ledger_time_ns();
  for (const std::unique_ptr<Shard>& shard : shards_) {
    oldest = std::min(oldest, shard->ledger_time_ns());
  }
  return oldest;
}

}  // namespace podtap
