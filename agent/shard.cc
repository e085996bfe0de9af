#include "agent/shard.h"

#include <utility>

#include "absl/hash/hash.h"
#include "common/status.h"

namespace podtap {
namespace {

constexpr int64_t kTickNs = 50'000'000;
constexpr int64_t kBookTickNs = 1'000'000'000;
// How long a lone record may wait; see RingReader.
constexpr int kPollMs = 20;
// The same when nothing has come for so many looks. Not with several rings: exchanges of the others
// wait for this one.
constexpr int kQuietPollMs = 100;
constexpr int kQuietLooks = 50;

}  // namespace

Shard::Shard(const ShardOptions& options, const capture::CaptureProgram& program, uint32_t ring,
             enrichment::TapDirectory& directory, ShardCommon& common, const Clock& clock,
             tls::HandshakeSink& handshakes, std::vector<enrichment::EventSink*> sinks,
             exporter::EventLog* log)
    : ring_(ring),
      common_(common),
      clock_(clock),
      log_(log),
      connections_(program),
      taps_(directory),
      enricher_(options.enricher, clock, taps_, common.book, std::move(sinks)),
      gate_(common.progress, enricher_),
      counted_(common.activity, gate_),
      pipeline_(options.limits, counted_, handshakes, connections_,
                {.first = ring + 1, .step = program.rings()}),
      ledger_time_ns_(clock.MonotonicNs()) {}

absl::StatusOr<std::unique_ptr<Shard>> Shard::Start(
    const ShardOptions& options, const capture::CaptureProgram& program, uint32_t ring,
    enrichment::TapDirectory& directory, ShardCommon& common, const Clock& clock,
    tls::HandshakeSink& handshakes, std::vector<enrichment::EventSink*> sinks,
    exporter::EventLog* log) {
  std::unique_ptr<Shard> shard(new Shard(options, program, ring, directory, common, clock,
                                         handshakes, std::move(sinks), log));
  PODTAP_ASSIGN_OR_RETURN(shard->reader_,
                          capture::RingReader::Create(
                              program, ring, [raw = shard.get()](const capture::Segment& segment) {
                                raw->OnSegment(segment);
                              }));
  shard->thread_ = std::thread([raw = shard.get()] { raw->Run(); });
  return shard;
}

Shard::~Shard() = default;

void Shard::TapClosed(const capture::TapId& tap) {
  {
    const std::lock_guard lock(mutex_);
    closed_.push_back(tap);
  }
  reader_->WakeUp();
}

void Shard::RequestStop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  reader_->WakeUp();
}

void Shard::Join() { thread_.join(); }

std::vector<LedgerLine> Shard::Ledger() const {
  const std::lock_guard lock(mutex_);
  return ledger_;
}

uint64_t Shard::open_exchanges() const {
  const std::lock_guard lock(mutex_);
  return open_exchanges_;
}

int64_t Shard::ledger_time_ns() const {
  const std::lock_guard lock(mutex_);
  return ledger_time_ns_;
}

void Shard::Run() {
  bool stopping = false;
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      closing_.insert(closing_.end(), closed_.begin(), closed_.end());
      closed_.clear();
      stopping = stopping_;
    }
    const int64_t begin_ns = clock_.MonotonicNs();
    const bool emptied = reader_->Read();
    if (emptied) {
      EndClosedTaps();
    }
    if (emptied && stopping) {
      // Taps are closed: nothing comes any more.
      common_.progress.Set(ring_, INT64_MAX);
    } else {
      common_.progress.Set(ring_, emptied ? begin_ns : last_record_ns_);
    }
    gate_.Release();
    const int64_t now_ns = clock_.MonotonicNs();
    if (now_ns - last_tick_ns_ >= kTickNs) {
      last_tick_ns_ = now_ns;
      OnTick(now_ns);
    }
    if (emptied && stopping && common_.progress.least() == INT64_MAX) {
      pipeline_.Finish(now_ns);
      gate_.Release();
      enricher_.Finish();
      PublishLedger();
      return;
    }
    if (emptied) {
      Rest();
    }
  }
}

void Shard::OnSegment(const capture::Segment& segment) {
  last_record_ns_ = segment.time_ns;
  common_.activity.OnRecord(segment.key.tap, segment.time_ns);
  quiet_looks_ = 0;
  // A source address proves its owner, and does so before an exchange with it ends elsewhere. So
  // does the pod's part of the handshake.
  if (segment.direction == capture::Direction::kFromPod ||
      segment.initial_seq[static_cast<size_t>(capture::Direction::kFromPod)]) {
    const std::pair claim(segment.key.tap, segment.key.local);
    auto& learned = learned_[absl::HashOf(claim) % learned_.size()];
    if (learned != claim && common_.book.Learn(claim.first, claim.second)) {
      learned = claim;
    }
  }
  pipeline_.OnSegment(segment);
}

void Shard::Rest() {
  if (common_.progress.rings() > 1) {
    reader_->Wait(kPollMs);
  } else if (quiet_looks_ < kQuietLooks) {
    ++quiet_looks_;
    reader_->Wait(kPollMs);
  } else {
    reader_->Wait(kQuietPollMs);
  }
}

void Shard::EndClosedTaps() {
  if (!closing_.empty()) {
    pipeline_.CloseTaps(closing_, clock_.MonotonicNs());
    closing_.clear();
  }
}

void Shard::OnTick(int64_t now_ns) {
  pipeline_.OnTick(now_ns);
  enricher_.OnTick(now_ns);
  if (log_ != nullptr) {
    log_->Seal(now_ns);
  }
  if (now_ns - last_book_tick_ns_ >= kBookTickNs) {
    last_book_tick_ns_ = now_ns;
    common_.book.OnTick();
  }
  PublishLedger();
}

void Shard::PublishLedger() {
  std::vector<LedgerLine> ledger;
  const auto add = [&](LedgerStage stage) {
    return [&ledger, stage](const CounterValue& value) { ledger.push_back({stage, value}); };
  };
  reader_->Visit(add(LedgerStage::kCapture));
  connections_.Visit(add(LedgerStage::kCapture));
  pipeline_.VisitCounters([&](const LedgerLine& line) { ledger.push_back(line); });
  gate_.Visit(add(LedgerStage::kEnrichment));
  enricher_.counters().Visit(add(LedgerStage::kEnrichment));
  const std::lock_guard lock(mutex_);
  ledger_ = std::move(ledger);
  ledger_time_ns_ = clock_.MonotonicNs();
  open_exchanges_ = pipeline_.open_exchanges();
}

}  // namespace podtap
