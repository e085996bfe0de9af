#include "agent/exporter/collector_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <numeric>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "common/log.h"
#include "spdlog/sinks/ostream_sink.h"
#include "tests/support/count_in.h"
#include "tests/unit/exporter/event_builder.h"
#include "tests/unit/exporter/fake_collector.h"

namespace podtap::exporter {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using State = FakeCollector::State;

class CollectorClientTest : public ::testing::Test {
 protected:
  CollectorClientTest() {
    auto sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(log_text_);
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("", std::move(sink)));
    collector_.Start();
    options_.collector = {
        .host = "127.0.0.1", .port = static_cast<uint16_t>(collector_.port()), .is_loopback = true};
    options_.origin = kOrigin;
    options_.agent_version = "1.2.3";
    options_.start_unix_ns = 1'700'000'000'000'000'005;
    options_.backoff = {.first_ns = 10'000'000, .max_ns = 20'000'000};
    options_.ack_timeout = seconds(20);
  }

  void StartClient() {
    client_ = std::make_unique<CollectorClient>(
        options_, log_, clock_, [](v1::AgentStatus& status) { status.set_taps(7); });
    client_->Start();
  }
  void Append(int events) {
    for (int i = 0; i < events; ++i) {
      log_.OnEvent(MakeEvent());
    }
  }
  uint64_t Count(std::string_view name) const {
    uint64_t count = 0;
    client_->Visit(
        [&](const CounterValue& value) { count += value.name == name ? value.count : 0; });
    return count;
  }
  // All of 1..last, each once, in order.
  static void ExpectStored(const State& state, uint64_t last) {
    std::vector<uint64_t> expected(last);
    std::iota(expected.begin(), expected.end(), 1);
    EXPECT_EQ(state.stored, expected);
  }
  size_t CountInLog(const std::string& text) const {
    return testing::CountIn(log_text_.str(), text);
  }

  std::ostringstream log_text_;
  SystemClock clock_;
  FakeCollector collector_;
  CollectorClientOptions options_;
  EventLog log_{{.origin = kOrigin, .batch = {.max_events = 10, .max_age_ns = 10'000'000}}, clock_};
  std::unique_ptr<CollectorClient> client_;
};

TEST_F(CollectorClientTest, SaysHelloThenSendsAll) {
  StartClient();
  Append(1'005);
  EXPECT_EQ(client_->Stop(seconds(10)), 0u);
  const State state = collector_.state();
  ExpectStored(state, 1'005);
  ASSERT_EQ(state.hellos.size(), 1u);
  const v1::AgentHello& hello = state.hellos[0];
  EXPECT_EQ(hello.node_name(), "node-1");
  EXPECT_EQ(hello.cluster_name(), "test");
  EXPECT_EQ(hello.epoch(), kOrigin.epoch);
  EXPECT_EQ(hello.agent_version(), "1.2.3");
  EXPECT_EQ(hello.protocol_version(), 1u);
  EXPECT_EQ(hello.start_time().seconds(), 1'700'000'000);
  EXPECT_EQ(hello.start_time().nanos(), 5);
  EXPECT_EQ(log_.counters().acked, 1'005u);
  EXPECT_EQ(Count("batches_sent"), 101u);
  EXPECT_EQ(Count("batches_resent"), 0u);
  EXPECT_EQ(Count("streams_accepted"), 1u);
  EXPECT_EQ(CountInLog("connected to collector"), 1u);
}

TEST_F(CollectorClientTest, SendsAnAgedBatchByItself) {
  StartClient();
  Append(1);
  EXPECT_TRUE(collector_.WaitFor([](const State& state) { return state.stored.size() == 1; }));
  EXPECT_EQ(client_->Stop(seconds(10)), 0u);
}

TEST_F(CollectorClientTest, SendsStatusAfterHelloRegularlyAndAtTheEnd) {
  options_.status_interval = milliseconds(20);
  StartClient();
  EXPECT_TRUE(collector_.WaitFor([](const State& state) { return state.statuses.size() >= 3; }));
  Append(5);
  client_->Stop(seconds(10));
  const State state = collector_.state();
  EXPECT_EQ(state.statuses.front().taps(), 7u);
  EXPECT_EQ(state.statuses.front().last_sequence(), 0u);
  EXPECT_GT(state.statuses.front().time().seconds(), 0);
  EXPECT_EQ(state.statuses.back().last_sequence(), 5u);
  EXPECT_EQ(state.orderly_ends, 1);
}

TEST_F(CollectorClientTest, ResendsWhatADroppedStreamLeftOpen) {
  collector_.Configure({.drop_stream_after = 3});
  StartClient();
  Append(200);
  ASSERT_TRUE(collector_.WaitFor([](const State& state) { return state.hellos.size() >= 3; }));
  collector_.Configure({});
  EXPECT_EQ(client_->Stop(seconds(10)), 0u);
  ExpectStored(collector_.state(), 200);
  EXPECT_EQ(log_.counters().acked, 200u);
}

TEST_F(CollectorClientTest, WhatWasStoredWithoutAnAcknowledgementIsNotSentAgain) {
  options_.ack_timeout = milliseconds(100);
  collector_.Configure({.acknowledges = false, .drop_stream_after = 20});
  StartClient();
  Append(200);
  // In one window there are 16 batches, so that the stream hangs instead of being dropped.
  ASSERT_TRUE(collector_.WaitFor([](const State& state) { return state.hellos.size() >= 2; }));
  collector_.Configure({});
  EXPECT_EQ(client_->Stop(seconds(10)), 0u);
  const State state = collector_.state();
  ExpectStored(state, 200);
  EXPECT_EQ(state.batches, 20) << "the position in the answer to the hello was used";
}

TEST_F(CollectorClientTest, ResendsABatchThatIsAcknowledgedInPart) {
  options_.ack_timeout = milliseconds(100);
  collector_.Configure({.acknowledge_short_by = 4});
  StartClient();
  Append(10);
  ASSERT_TRUE(collector_.WaitFor([](const State& state) { return state.hellos.size() >= 2; }))
      << "the rest of the batch is due";
  EXPECT_EQ(client_->Stop(seconds(10)), 0u);
  ExpectStored(collector_.state(), 10);
}

TEST_F(CollectorClientTest, KeepsNoMoreInFlightThanTheWindow) {
  options_.max_in_flight = 4;
  collector_.Configure({.acknowledges = false});
  StartClient();
  Append(200);
  ASSERT_TRUE(collector_.WaitFor([](const State& state) { return state.batches == 4; }));
  EXPECT_GT(client_->Stop(milliseconds(100)), 0u);
  EXPECT_EQ(collector_.state().batches, 4);
}

TEST_F(CollectorClientTest, WaitsForACollectorThatIsAbsent) {
  collector_.Stop();
  StartClient();
  Append(50);
  while (Count("streams_failed") < 3) {
    std::this_thread::yield();
  }
  collector_.Start();
  EXPECT_TRUE(collector_.WaitFor([](const State& state) { return state.stored.size() == 50; }));
  EXPECT_EQ(client_->Stop(seconds(10)), 0u);
  ExpectStored(collector_.state(), 50);
  EXPECT_EQ(CountInLog("can't be reached"), 1u) << log_text_.str();
  EXPECT_EQ(CountInLog("is back"), 1u) << log_text_.str();
}

TEST_F(CollectorClientTest, SurvivesARestartOfTheCollector) {
  StartClient();
  Append(50);
  ASSERT_TRUE(collector_.WaitFor([](const State& state) { return state.stored.size() == 50; }));
  collector_.Stop();
  Append(50);
  collector_.Start();
  EXPECT_EQ(client_->Stop(seconds(10)), 0u);
  ExpectStored(collector_.state(), 100);
}

TEST_F(CollectorClientTest, AHungCollectorIsLeft) {
  options_.ack_timeout = milliseconds(100);
  collector_.Configure({.stores = false, .acknowledges = false});
  StartClient();
  Append(10);
  ASSERT_TRUE(collector_.WaitFor([](const State& state) { return state.hellos.size() >= 3; }));
  collector_.Configure({});
  EXPECT_EQ(client_->Stop(seconds(10)), 0u);
  ExpectStored(collector_.state(), 10);
  EXPECT_EQ(CountInLog("no acknowledgement"), 1u) << log_text_.str();
  EXPECT_EQ(CountInLog("is back"), 1u) << "an answer to the hello alone is not enough";
}

TEST_F(CollectorClientTest, ACollectorThatDoesNotGreetIsLeft) {
  options_.hello_timeout = milliseconds(50);
  collector_.Configure({.answers_hello = false});
  StartClient();
  Append(10);
  ASSERT_TRUE(collector_.WaitFor([](const State& state) { return state.hellos.size() >= 2; }));
  collector_.Configure({});
  EXPECT_EQ(client_->Stop(seconds(10)), 0u);
  ExpectStored(collector_.state(), 10);
}

TEST_F(CollectorClientTest, ATakeoverIsSaidAndComesBackSeldom) {
  options_.backoff = {.first_ns = 1, .max_ns = 30'000'000'000};
  collector_.Configure({.close_with = v1::CLOSE_REASON_TAKEN_OVER});
  StartClient();
  // Its next two attempts come within 30 seconds each.
  EXPECT_FALSE(collector_.WaitFor([](const State& state) { return state.hellos.size() >= 3; },
                                  milliseconds(100)));
  EXPECT_EQ(client_->Stop(milliseconds(0)), 0u);
  EXPECT_EQ(CountInLog("another agent"), 1u) << log_text_.str();
  EXPECT_EQ(CountInLog("as the test wants"), 1u) << log_text_.str();
}

TEST_F(CollectorClientTest, SendsDroppedRangesInTheirPlace) {
  EventLog small({.origin = kOrigin, .max_bytes = 2'000, .batch = {.max_events = 10}}, clock_);
  for (int i = 0; i < 1'000; ++i) {
    small.OnEvent(MakeEvent());
  }
  const uint64_t dropped = small.counters().dropped;
  ASSERT_GT(dropped, 0u);
  CollectorClient client(options_, small, clock_, [](v1::AgentStatus&) {});
  client.Start();
  EXPECT_EQ(client.Stop(seconds(10)), 0u);
  const State state = collector_.state();
  EXPECT_THAT(state.dropped, ::testing::ElementsAre(std::pair<uint64_t, uint64_t>(1, dropped)));
  ASSERT_FALSE(state.stored.empty());
  EXPECT_EQ(state.stored.front(), dropped + 1);
  EXPECT_EQ(state.stored.size() + dropped, 1'000u);
  EXPECT_EQ(small.counters().acked, state.stored.size());
}

TEST_F(CollectorClientTest, StopKeepsItsDeadline) {
  collector_.Configure({.acknowledges = false});
  StartClient();
  Append(30);
  ASSERT_TRUE(collector_.WaitFor([](const State& state) { return state.batches == 3; }));
  const auto begin = steady_clock::now();
  EXPECT_EQ(client_->Stop(milliseconds(100)), 30u);
  EXPECT_LT(steady_clock::now() - begin, milliseconds(1'500));
  EXPECT_EQ(collector_.state().statuses.size(), 2u) << "the last status is sent all the same";
}

TEST_F(CollectorClientTest, StopInterruptsAConnectionAttempt) {
  // TEST-NET-1: nobody answers there.
  options_.collector = {.host = "192.0.2.1", .port = 4270};
  options_.connect_timeout = seconds(60);
  StartClient();
  Append(5);
  const auto begin = steady_clock::now();
  EXPECT_EQ(client_->Stop(milliseconds(50)), 5u);
  EXPECT_LT(steady_clock::now() - begin, milliseconds(1'500));
}

TEST_F(CollectorClientTest, StopInterruptsTheBackoff) {
  collector_.Stop();
  options_.backoff = {.first_ns = int64_t{3'600} * 1'000'000'000,
                      .max_ns = int64_t{3'600} * 1'000'000'000};
  StartClient();
  while (Count("streams_failed") < 1) {
    std::this_thread::yield();
  }
  const auto begin = steady_clock::now();
  EXPECT_EQ(client_->Stop(seconds(10)), 0u);
  EXPECT_LT(steady_clock::now() - begin, milliseconds(1'500));
}

}  // namespace
}  // namespace podtap::exporter
