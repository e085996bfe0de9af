// One thread that takes records from a ring and makes events of them.
//
// Flow, all on the thread: RingReader -> Pipeline -> ActivitySink -> ExchangeGate -> Enricher ->
// sinks; what TLS tells goes from the pipeline to a sink of its own. Others reach it only through
// TapClosed(), stopping and the ledger, which is a copy made at each tick; shards meet at the
// address book and at the progress of their rings.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/capture/capture_program.h"
#include "agent/capture/connection_map.h"
#include "agent/capture/ring_reader.h"
#include "agent/enrichment/address_book.h"
#include "agent/enrichment/enricher.h"
#include "agent/enrichment/tap_directory.h"
#include "agent/exchange_gate.h"
#include "agent/exporter/event_log.h"
#include "agent/pipeline.h"
#include "agent/ring_progress.h"
#include "agent/tap_activity.h"
#include "agent/tls/handshake.h"
#include "common/clock.h"
#include "common/counter.h"

namespace podtap {

struct ShardOptions {
  PipelineLimits limits;
  enrichment::EnricherOptions enricher;
};

// What the shards of an agent share. Thread-safe.
struct ShardCommon {
  enrichment::AddressBook book;
  RingProgress progress;
  TapActivity activity;
};

class Shard {
 public:
  // All are borrowed and outlive the shard; `log` may be null. The shard reads the ring of that
  // index and tells its progress.
  static absl::StatusOr<std::unique_ptr<Shard>> Start(
      const ShardOptions& options, const capture::CaptureProgram& program, uint32_t ring,
      enrichment::TapDirectory& directory, ShardCommon& common, const Clock& clock,
      tls::HandshakeSink& handshakes, std::vector<enrichment::EventSink*> sinks,
      exporter::EventLog* log);
  // The thread has ended: Join() was called, or it was never started.
  ~Shard();

  // The tap's socket is closed: once what it left in the ring is handled, its connections end. From
  // any thread.
  void TapClosed(const capture::TapId& tap);
  // Asks the thread to handle what is in the ring, end all connections and end itself, which it
  // does once all shards have been asked. All taps are closed.
  void RequestStop();
  // Waits for that.
  void Join();

  // Ledger of capture to enrichment, as of the last tick. From any thread.
  std::vector<LedgerLine> Ledger() const;
  uint64_t open_exchanges() const;
  // When that was, by the monotonic clock.
  int64_t ledger_time_ns() const;

 private:
  Shard(const ShardOptions& options, const capture::CaptureProgram& program, uint32_t ring,
        enrichment::TapDirectory& directory, ShardCommon& common, const Clock& clock,
        tls::HandshakeSink& handshakes, std::vector<enrichment::EventSink*> sinks,
        exporter::EventLog* log);
  void Run();
  void OnSegment(const capture::Segment& segment);
  // Waits until it is worth looking at the ring again.
  void Rest();
  void OnTick(int64_t now_ns);
  // Ends the connections of taps that were closed before the ring was emptied.
  void EndClosedTaps();
  void PublishLedger();

  const uint32_t ring_;
  ShardCommon& common_;
  const Clock& clock_;
  exporter::EventLog* const log_;
  capture::ConnectionMap connections_;
  enrichment::TapReader taps_;
  enrichment::Enricher enricher_;
  ExchangeGate gate_;
  ActivitySink counted_;
  Pipeline pipeline_;
  std::unique_ptr<capture::RingReader> reader_;

  // The thread's own.
  std::vector<capture::TapId> closing_;
  int64_t last_tick_ns_ = 0;
  int64_t last_book_tick_ns_ = 0;
  // Looks at the ring since it had something, up to a number that matters.
  int quiet_looks_ = 0;
  // Of the newest record.
  int64_t last_record_ns_ = 0;
  // What the address book was told of late, by hash: taps take turns.
  std::array<std::pair<capture::TapId, IpAddress>, 256> learned_;

  mutable std::mutex mutex_;
  std::vector<capture::TapId> closed_;
  bool stopping_ = false;
  std::vector<LedgerLine> ledger_;
  uint64_t open_exchanges_ = 0;
  int64_t ledger_time_ns_;

  std::thread thread_;
};

}  // namespace podtap
