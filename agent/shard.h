// One thread that takes records from the ring and makes events of them.
//
// Flow, all on the thread: RingReader -> Pipeline -> Enricher -> sinks; what TLS tells goes from
// the pipeline to a sink of its own. Others reach it only through TapClosed(), Stop() and the
// ledger, which is a copy made at each tick.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/capture/capture_program.h"
#include "agent/capture/connection_map.h"
#include "agent/capture/ring_reader.h"
#include "agent/enrichment/address_book.h"
#include "agent/enrichment/enricher.h"
#include "agent/enrichment/tap_directory.h"
#include "agent/exporter/event_log.h"
#include "agent/pipeline.h"
#include "agent/tls/handshake.h"
#include "common/clock.h"
#include "podtap/v1/ingest_service.pb.h"

namespace podtap {

struct ShardOptions {
  PipelineLimits limits;
  enrichment::EnricherOptions enricher;
};

class Shard {
 public:
  // All are borrowed and outlive the shard; `log` may be null.
  static absl::StatusOr<std::unique_ptr<Shard>> Start(
      const ShardOptions& options, const capture::CaptureProgram& program,
      enrichment::TapDirectory& directory, const Clock& clock, tls::HandshakeSink& handshakes,
      std::vector<enrichment::EventSink*> sinks, exporter::EventLog* log);
  // Stops when Stop() was not called.
  ~Shard();

  // The tap's socket is closed: once what it left in the ring is handled, its connections end. From
  // any thread.
  void TapClosed(const capture::TapId& tap);
  // Handles what is in the ring, ends all connections, and ends the thread. All taps are closed.
  void Stop();

  // Ledger of capture to enrichment, as of the last tick. From any thread.
  std::vector<v1::LedgerEntry> Ledger() const;
  uint64_t open_exchanges() const;
  // When that was, by the monotonic clock.
  int64_t ledger_time_ns() const;

 private:
  Shard(const ShardOptions& options, const capture::CaptureProgram& program,
        enrichment::TapDirectory& directory, const Clock& clock, tls::HandshakeSink& handshakes,
        std::vector<enrichment::EventSink*> sinks, exporter::EventLog* log);
  void Run();
  void OnSegment(const capture::Segment& segment);
  void OnTick(int64_t now_ns);
  // Ends the connections of taps that were closed before the ring was emptied.
  void EndClosedTaps();
  void PublishLedger();

  const Clock& clock_;
  exporter::EventLog* const log_;
  capture::ConnectionMap connections_;
  enrichment::TapReader taps_;
  enrichment::AddressBook book_;
  enrichment::Enricher enricher_;
  Pipeline pipeline_;
  std::unique_ptr<capture::RingReader> reader_;

  // The thread's own.
  std::vector<capture::TapId> closing_;
  int64_t last_tick_ns_ = 0;
  int64_t last_book_tick_ns_ = 0;
  capture::TapId last_learned_tap_;
  IpAddress last_learned_ip_;

  mutable std::mutex mutex_;
  std::vector<capture::TapId> closed_;
  bool stopping_ = false;
  std::vector<v1::LedgerEntry> ledger_;
  uint64_t open_exchanges_ = 0;
  int64_t ledger_time_ns_;

  std::thread thread_;
};

}  // namespace podtap
