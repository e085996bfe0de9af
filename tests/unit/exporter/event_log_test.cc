#include "agent/exporter/event_log.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "tests/unit/exporter/event_builder.h"

namespace podtap::exporter {
namespace {

class EventLogTest : public testing::Test {
 protected:
  explicit EventLogTest(EventLogOptions options = {.origin = kOrigin, .batch = {.max_events = 10}})
      : log_(options, clock_) {}
  ~EventLogTest() override { ExpectIdentity(); }

  void Append(int events, const std::string& path = "/") {
    for (int i = 0; i < events; ++i) {
      log_.OnEvent(MakeEvent(path));
    }
  }
  void ExpectIdentity() const {
    const EventLogCounters counters = log_.counters();
    EXPECT_EQ(counters.appended, counters.acked + counters.dropped + counters.queued);
    EXPECT_EQ(counters.appended, log_.last_sequence());
  }
  // "first-last", "first-last dropped", or "nothing".
  std::string Take(uint64_t after) {
    const std::optional<LogItem> item = log_.Take(after);
    if (!item) {
      return "nothing";
    }
    const std::string range =
        std::to_string(item->first_sequence) + "-" + std::to_string(item->last_sequence);
    if (item->dropped()) {
      return range + " dropped";
    }
    v1::StreamEventsRequest request;
    EXPECT_TRUE(request.ParseFromString(*item->message));
    EXPECT_EQ(request.batch().epoch(), kOrigin.epoch);
    EXPECT_EQ(request.batch().first_sequence(), item->first_sequence);
    EXPECT_EQ(static_cast<uint64_t>(request.batch().events_size()),
              item->last_sequence - item->first_sequence + 1);
    return range;
  }

  enrichment::FakeClock clock_;
  EventLog log_;
};

TEST_F(EventLogTest, NumbersFromOne) {
  Append(25);
  EXPECT_EQ(log_.last_sequence(), 25u);
  EXPECT_EQ(Take(0), "1-10");
  EXPECT_EQ(Take(10), "11-20");
  EXPECT_EQ(Take(20), "nothing") << "the open batch is not due";
  log_.SealNow();
  EXPECT_EQ(Take(20), "21-25");
  EXPECT_EQ(Take(0), "1-10") << "again";
}

TEST_F(EventLogTest, SealsByAge) {
  clock_.monotonic_ns = 1'000;
  Append(1);
  log_.Seal(1'000 + 199'999'999);
  EXPECT_EQ(Take(0), "nothing");
  log_.Seal(1'000 + 200'000'000);
  EXPECT_EQ(Take(0), "1-1");
  log_.SealNow();
  EXPECT_EQ(Take(1), "nothing") << "an empty batch is not sealed";
}

TEST_F(EventLogTest, TrimsWhatIsAcknowledged) {
  Append(30);
  Take(0), Take(10), Take(20);
  EXPECT_TRUE(log_.Acknowledge(20));
  EXPECT_EQ(log_.acked_sequence(), 20u);
  EXPECT_EQ(Take(0), "21-30");
  EXPECT_EQ(log_.counters().queued, 10u);
  EXPECT_TRUE(log_.Acknowledge(10)) << "an old one changes nothing";
  EXPECT_EQ(log_.acked_sequence(), 20u);
  EXPECT_TRUE(log_.Acknowledge(30));
  EXPECT_EQ(Take(0), "nothing");
  EXPECT_EQ(log_.counters().queued_bytes, 0u);
  EXPECT_EQ(log_.counters().acked, 30u);
}

TEST_F(EventLogTest, TrimsInTheMiddleOfABatch) {
  Append(20);
  Take(0), Take(10);
  EXPECT_TRUE(log_.Acknowledge(13));
  EXPECT_EQ(log_.counters().acked, 13u);
  EXPECT_EQ(Take(13), "11-20") << "kept whole";
  EXPECT_TRUE(log_.Acknowledge(17));
  EXPECT_EQ(log_.counters().acked, 17u);
  EXPECT_TRUE(log_.Acknowledge(20));
  EXPECT_EQ(log_.counters().acked, 20u);
  EXPECT_EQ(Take(0), "nothing");
}

TEST_F(EventLogTest, RefusesAcknowledgementsOfWhatWasNeverSent) {
  Append(20);
  Take(0);
  EXPECT_FALSE(log_.Acknowledge(11));
  EXPECT_FALSE(log_.Acknowledge(UINT64_MAX));
  EXPECT_EQ(log_.counters().acks_refused, 2u);
  EXPECT_EQ(log_.counters().acked, 0u);
  EXPECT_TRUE(log_.Acknowledge(10));
}

// Each batch of ten holds a little over 1,000 bytes of path; six fit.
class SmallEventLogTest : public EventLogTest {
 protected:
  SmallEventLogTest()
      : EventLogTest({.origin = kOrigin, .max_bytes = 10'000, .batch = {.max_events = 10}}) {}

  void AppendBatches(int batches) {
    for (int i = 0; i < batches; ++i) {
      Append(10, "/" + std::string(1'000, 'p'));
    }
  }
};

TEST_F(SmallEventLogTest, DropsTheOldestAndSaysSo) {
  AppendBatches(100);
  const EventLogCounters counters = log_.counters();
  EXPECT_LE(counters.queued_bytes, 10'000u);
  EXPECT_GE(counters.queued, 30u);
  EXPECT_GT(counters.dropped, 900u);
  const uint64_t first_kept = counters.dropped + 1;
  EXPECT_EQ(Take(0), "1-" + std::to_string(counters.dropped) + " dropped") << "one range";
  EXPECT_EQ(Take(counters.dropped),
            std::to_string(first_kept) + "-" + std::to_string(first_kept + 9));
  // The collector acknowledges the range like events.
  EXPECT_TRUE(log_.Acknowledge(first_kept + 9));
  EXPECT_EQ(log_.counters().acked, 10u);
  EXPECT_EQ(log_.counters().dropped, counters.dropped);
}

TEST_F(SmallEventLogTest, KeepsWhatMayBeStored) {
  AppendBatches(3);
  EXPECT_EQ(Take(0), "1-10");
  EXPECT_EQ(Take(10), "11-20");
  AppendBatches(50);
  const uint64_t dropped = log_.counters().dropped;
  ASSERT_GT(dropped, 0u);
  EXPECT_EQ(Take(0), "1-10");
  EXPECT_EQ(Take(10), "11-20");
  EXPECT_EQ(Take(20), "21-" + std::to_string(20 + dropped) + " dropped");
  EXPECT_TRUE(log_.Acknowledge(15)) << "stored without our knowing";
  EXPECT_EQ(log_.counters().acked, 15u);
}

TEST_F(SmallEventLogTest, ARangeThatWasSentIsNotChanged) {
  AppendBatches(50);
  const uint64_t dropped = log_.counters().dropped;
  const std::string range = "1-" + std::to_string(dropped) + " dropped";
  EXPECT_EQ(Take(0), range);
  AppendBatches(50);
  const uint64_t dropped_later = log_.counters().dropped;
  EXPECT_EQ(Take(0), range);
  EXPECT_EQ(Take(dropped),
            std::to_string(dropped + 1) + "-" + std::to_string(dropped_later) + " dropped");
  ExpectIdentity();
  EXPECT_TRUE(log_.Acknowledge(dropped + 5)) << "in the middle of a range";
  EXPECT_EQ(log_.counters().acked, 0u);
  ExpectIdentity();
}

TEST_F(SmallEventLogTest, WithEverythingSentTheNewestGoes) {
  AppendBatches(5);
  uint64_t sent = 0;
  while (const std::optional<LogItem> item = log_.Take(sent)) {
    sent = item->last_sequence;
  }
  AppendBatches(20);
  EXPECT_LE(log_.counters().queued_bytes, 10'000u);
  EXPECT_EQ(Take(0), "1-10");
  EXPECT_TRUE(log_.Acknowledge(sent));
  EXPECT_EQ(log_.counters().acked, sent);
}

TEST_F(EventLogTest, IsThreadSafe) {
  std::thread consumer([&] {
    uint64_t cursor = 0;
    while (cursor < 5'000) {
      log_.Seal(clock_.monotonic_ns + 1'000'000'000);
      if (const std::optional<LogItem> item = log_.Take(cursor)) {
        ASSERT_EQ(item->first_sequence, cursor + 1);
        cursor = item->last_sequence;
        ASSERT_TRUE(log_.Acknowledge(cursor));
      }
    }
  });
  Append(5'000);
  consumer.join();
  EXPECT_EQ(log_.counters().acked, 5'000u);
}

TEST_F(EventLogTest, ListsItsCounters) {
  Append(15);
  Take(0);
  log_.Acknowledge(10);
  std::string names;
  log_.counters().Visit([&](const CounterValue& value) {
    names +=
        std::string(value.name) + "=" + std::to_string(value.count) + (value.is_loss ? "! " : " ");
  });
  EXPECT_EQ(names,
            "events_appended=15 events_acked=10 events_dropped=0! events_queued=5 events_cut=0 "
            "acks_refused=0 ");
}

}  // namespace
}  // namespace podtap::exporter
