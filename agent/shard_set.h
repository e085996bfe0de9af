// The shards of an agent: one for each ring, each with a thread, and the address book they share.
//
// A connection's records are all in one ring, so one shard has all of it; its far end may be in
// another's hands.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "agent/shard.h"

namespace podtap {

// Thread-safe once started.
class ShardSet {
 public:
  // All are borrowed and outlive the shards; `log` may be null. The limits of `options` are those
  // of all shards together.
  static absl::StatusOr<std::unique_ptr<ShardSet>> Start(
      const ShardOptions& options, const capture::CaptureProgram& program,
      enrichment::TapDirectory& directory, const Clock& clock, tls::HandshakeSink& handshakes,
      const std::vector<enrichment::EventSink*>& sinks, exporter::EventLog* log);

  // Stops when Stop() was not called.
  ~ShardSet();

  // As that of each shard.
  void TapClosed(const capture::TapId& tap);
  // Handles what is in the rings, ends all connections, and ends the threads. All taps are closed.
  void Stop();

  // Sums over the shards.
  std::vector<LedgerLine> Ledger() const;
  uint64_t open_exchanges() const;
  // What the shards see on each tap.
  TapActivity& activity() { return common_.activity; }
  // Of the shard whose last tick is the longest ago.
  int64_t ledger_time_ns() const;

 private:
  ShardSet(const enrichment::TapDirectory& directory, uint32_t rings)
      : common_{.book = enrichment::AddressBook(directory),
                .progress = RingProgress(rings),
                .activity = {}} {}

  ShardCommon common_;
  std::vector<std::unique_ptr<Shard>> shards_;
  bool stopped_ = false;
};

}  // namespace podtap
