// The agent's threads at work on what they share: taps come and go while segments flow, the
// collector's side takes and acknowledges, somebody reads the printed lines, and the ledger is
// asked for. What goes wrong here goes wrong under ThreadSanitizer, in the tree that `make test`
// builds for it. The ring and gRPC are left out: their libraries are not built for that.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "agent/capture/segment.h"
#include "agent/enrichment/address_book.h"
#include "agent/enrichment/enricher.h"
#include "agent/enrichment/tap_directory.h"
#include "agent/enrichment/tls_inventory.h"
#include "agent/exchange_gate.h"
#include "agent/exporter/event_log.h"
#include "agent/exporter/stdout_sink.h"
#include "agent/pipeline.h"
#include "agent/ring_progress.h"
#include "common/clock.h"
#include "common/unique_fd.h"
#include "tests/unit/exporter/event_builder.h"

namespace podtap {
namespace {

using capture::Direction;
using capture::Segment;
using capture::TapId;

constexpr auto kDuration = std::chrono::milliseconds(1500);
constexpr uint32_t kSlots = 8;

class NoFeedback : public capture::FeedbackSink {
 public:
  void OnFeedback(const capture::ConnectionKey&, const capture::Feedback&) override {}
  void OnForgotten(const capture::ConnectionKey&) override {}
};

// What one agent has, less kernel and network.
class Agent {
 public:
  Agent() {
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    read_end_ = UniqueFd(ends[0]);
    write_end_ = UniqueFd(ends[1]);
    stdout_ = std::make_unique<exporter::StdoutSink>(exporter::StdoutSinkOptions{
        .origin = exporter::kOrigin, .max_queued = 64, .fd = write_end_.get()});
    for (std::atomic<uint32_t>& generation : generations_) {
      generation = 1;
    }
  }

  void Run() {
    std::vector<std::thread> threads;
    for (void (Agent::*work)() : {&Agent::ReadLines, &Agent::Tap, &Agent::HandleFirst,
                                  &Agent::HandleSecond, &Agent::Acknowledge, &Agent::Ask}) {
      threads.emplace_back([this, work] { (this->*work)(); });
    }
    std::this_thread::sleep_for(kDuration);
    stop_ = true;
    // The lines' reader ends with the last of them.
    for (size_t i = 1; i < threads.size(); ++i) {
      threads[i].join();
    }
    stdout_->Stop(std::chrono::seconds(5));
    write_end_.Reset();
    threads[0].join();
  }

  void CheckSums() const {
    const exporter::EventLogCounters log = log_.counters();
    EXPECT_GT(log.acked, 100u);
    EXPECT_EQ(log.appended, log.acked + log.dropped + log.queued);
    const exporter::StdoutSinkCounters lines = stdout_->counters();
    EXPECT_EQ(lines.events, lines.printed + lines.dropped);
    EXPECT_EQ(lines.printed, lines_read_);
    EXPECT_EQ(lines.events, log.appended);
    EXPECT_GT(taps_changed_, 10u);
  }

 private:
  // Discovery's thread.
  void Tap() {
    for (uint32_t slot = 0; !stop_; slot = (slot + 1) % kSlots) {
      const TapId old{slot, generations_[slot]};
      auto tap = std::make_shared<enrichment::TapInfo>(*enrichment::MakeTap(slot, "web"));
      tap->id.generation = old.generation + 1;
      directory_.Publish(std::move(tap));
      generations_[slot] = old.generation + 1;
      directory_.Retire(old, clock_.MonotonicNs());
      directory_.Expire(clock_.MonotonicNs());
      directory_.SetNodeAddresses({enrichment::Ip("10.9.9.9")});
      ++taps_changed_;
      std::this_thread::yield();
    }
  }

  // The threads of two shards.
  void HandleFirst() { Handle(0); }
  void HandleSecond() { Handle(1); }

  void Handle(uint32_t ring) {
    NoFeedback feedback;
    enrichment::TapReader taps(directory_);
    enrichment::Enricher enricher({}, clock_, taps, book_, {&log_, stdout_.get()});
    ExchangeGate gate(progress_, enricher);
    Pipeline pipeline({}, gate, inventory_, feedback, {.first = ring + 1, .step = 2});
    for (uint16_t port = 1; !stop_; ++port) {
      const uint32_t slot = port % kSlots;
      const TapId tap{slot, generations_[slot]};
      book_.Learn(tap, enrichment::Ip("10.0.0.1"));
      ++opened_[ring];
      progress_.Set(ring, clock_.MonotonicNs());
      gate.Release();
      Send(pipeline, tap, port, opened_[ring], Direction::kToPod,
           "GET /a HTTP/1.1\r\nHost: h\r\n\r\n");
      Send(pipeline, tap, port, opened_[ring], Direction::kFromPod,
           "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      const int64_t now_ns = clock_.MonotonicNs();
      if (port % 16 == 0) {
        pipeline.CloseTaps({tap}, now_ns);
        pipeline.OnTick(now_ns);
        book_.OnTick();
        inventory_.OnHandshake(tap, false, {});
        log_.Seal(now_ns);
      }
    }
    progress_.Set(ring, INT64_MAX);
    while (progress_.least() != INT64_MAX) {
      std::this_thread::yield();
    }
    gate.Release();
    pipeline.Finish(clock_.MonotonicNs());
    log_.SealNow();
  }

  void Send(Pipeline& pipeline, const TapId& tap, uint16_t port, int64_t opened_ns,
            Direction direction, std::string_view text) {
    Segment segment;
    segment.key = {.tap = tap,
                   .local = enrichment::Ip("10.0.0.1"),
                   .remote = enrichment::Ip("10.0.0.2"),
                   .local_port = 80,
                   .remote_port = port,
                   .opened_ns = opened_ns};
    segment.direction = direction;
    segment.time_ns = clock_.MonotonicNs();
    segment.seq = 1;
    segment.wire_len = static_cast<uint32_t>(text.size());
    segment.head = {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
    segment.client = Direction::kToPod;
    segment.initial_seq[0] = segment.initial_seq[1] = 0;
    pipeline.OnSegment(segment);
  }

  // The exporter's thread.
  void Acknowledge() {
    uint64_t sequence = 0;
    while (true) {
      const bool last = stop_;
      while (const auto item = log_.Take(sequence)) {
        sequence = item->last_sequence;
        EXPECT_TRUE(log_.Acknowledge(sequence));
      }
      if (last) {
        return;
      }
      std::this_thread::yield();
    }
  }

  // Whoever reads standard output.
  void ReadLines() {
    std::array<char, 4096> buffer;
    ssize_t size = 0;
    while ((size = ::read(read_end_.get(), buffer.data(), buffer.size())) > 0) {
      lines_read_ += static_cast<uint64_t>(std::count(buffer.begin(), buffer.begin() + size, '\n'));
    }
  }

  // The status that goes to the collector.
  void Ask() {
    uint64_t sum = 0;
    const auto add = [&](const CounterValue& value) { sum += value.count; };
    while (!stop_) {
      directory_.Visit(add);
      inventory_.Visit(add);
      book_.Visit(add);
      sum += inventory_.List().size();
      log_.counters().Visit(add);
      stdout_->counters().Visit(add);
      sum += log_.acked_sequence() + log_.last_sequence() + directory_.version();
      sum += directory_.Find({1, generations_[1]}) != nullptr ? 1 : 0;
      std::this_thread::yield();
    }
    EXPECT_GT(sum, 0u);
  }

  const SystemClock clock_;
  std::atomic<bool> stop_{false};
  // By slot: of the newest tap, which is published before it is told here.
  std::array<std::atomic<uint32_t>, kSlots> generations_;
  enrichment::TapDirectory directory_{{.tombstone_ns = 1'000'000, .max_tombstones = 16}};
  enrichment::TlsInventory inventory_{directory_};
  enrichment::AddressBook book_{directory_};
  RingProgress progress_{2};
  exporter::EventLog log_{{.origin = exporter::kOrigin, .max_bytes = 64 << 10}, clock_};
  UniqueFd read_end_;
  UniqueFd write_end_;
  std::unique_ptr<exporter::StdoutSink> stdout_;
  // Of each shard's newest connection.
  std::array<int64_t, 2> opened_{};
  uint64_t taps_changed_ = 0;
  uint64_t lines_read_ = 0;
};

TEST(Threads, ShareTapsLogAndLinesWithoutARace) {
  std::signal(SIGPIPE, SIG_IGN);
  Agent agent;
  agent.Run();
  agent.CheckSums();
}

#ifdef __SANITIZE_THREAD__
void Race() {
  int shared = 0;
  std::thread other([&] { ++shared; });
  ++shared;
  other.join();
  std::exit(0);
}

// That the tree finds anything at all.
TEST(Threads, ThreadSanitizerFindsAPlantedRace) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(Race(), testing::ExitedWithCode(66), "data race");
}
#endif

}  // namespace
}  // namespace podtap
