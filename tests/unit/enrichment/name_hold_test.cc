// Exchanges whose pod is not known yet: they wait, within bounds and in order, and others do not.
#include "agent/enrichment/name_hold.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "agent/enrichment/enricher.h"
#include "tests/unit/enrichment/exchange_builder.h"

namespace podtap::enrichment {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t kHoldNs = 2'000'000'000;

std::shared_ptr<const TapInfo> MakeUnclaimedTap(uint32_t slot) {
  auto tap = std::make_shared<TapInfo>(*MakeTap(slot, ""));
  tap->pod = nullptr;
  return tap;
}

// Tap 1 has no pod yet; tap 2 is the pod api's, at 10.0.0.2.
class NameHoldTest : public testing::Test {
 protected:
  NameHoldTest() {
    directory_.Publish(MakeUnclaimedTap(1));
    directory_.Publish(MakeTap(2, "api"));
    book_.Learn({.slot = 2, .generation = 1}, Ip("10.0.0.2"));
  }

  // On tap 1 from 10.0.0.1 to 10.0.0.2, unless changed.
  pairing::Exchange Make(const std::string& path, uint64_t connection = 7) {
    pairing::Exchange exchange = MakeExchange("GET", path);
    exchange.connection_id = connection;
    return exchange;
  }
  // The same on tap 2.
  pairing::Exchange MakeServed(const std::string& path, uint64_t connection = 8) {
    pairing::Exchange exchange = Make(path, connection);
    exchange.connection.tap = {.slot = 2, .generation = 1};
    std::swap(exchange.connection.local, exchange.connection.remote);
    exchange.pod_is_client = false;
    return exchange;
  }
  void PassTime(int64_t ns) {
    clock_.monotonic_ns += ns;
    enricher_.OnTick(clock_.monotonic_ns);
  }
  // "client path server" of what has been passed on, with the states' numbers.
  std::vector<std::string> Passed() {
    std::vector<std::string> passed;
    for (const Event& event : sink_.events) {
      const auto name = [](const Endpoint& end) {
        return (end.pod != nullptr ? end.pod->pod_name : "-") + ":" +
               std::to_string(static_cast<int>(end.metadata_state));
      };
      passed.push_back(name(event.source) + " " + event.request.path + " " +
                       name(event.destination));
    }
    return passed;
  }
  // The ledger's sum holds at any time.
  void CheckSum() {
    const EnricherCounters& counters = enricher_.counters();
    EXPECT_EQ(counters.exchanges, counters.events + counters.excluded_by_reporters +
                                      counters.excluded_by_pod + counters.excluded_unnamed +
                                      counters.tap_unknown + counters.held);
    EXPECT_EQ(counters.events, sink_.events.size());
  }

  FakeClock clock_;
  TapDirectory directory_;
  TapReader taps_{directory_};
  AddressBook book_{directory_};
  EventCollector sink_;
  Enricher enricher_{
      {.hold = {.hold_ns = kHoldNs, .max_exchanges = 4}}, clock_, taps_, book_, {&sink_}};
};

TEST_F(NameHoldTest, WaitsForTheNameAndGoesWithItAtOnce) {
  enricher_.OnExchange(Make("/1"));
  PassTime(kHoldNs - 1);
  EXPECT_THAT(Passed(), IsEmpty());
  EXPECT_EQ(enricher_.counters().held, 1u);
  EXPECT_GT(enricher_.counters().held_bytes, 0u);
  CheckSum();
  directory_.Publish(MakeTap(1, "web"));
  PassTime(0);
  EXPECT_THAT(Passed(), ElementsAre("web:1 /1 api:1"));
  EXPECT_EQ(enricher_.counters().hold_named, 1u);
  EXPECT_EQ(enricher_.counters().held_bytes, 0u);
  CheckSum();
}

TEST_F(NameHoldTest, GoesWithoutTheNameWhenItsTimeIsUp) {
  enricher_.OnExchange(Make("/1"));
  PassTime(kHoldNs / 2);
  enricher_.OnExchange(Make("/2", 9));
  PassTime(kHoldNs / 2);
  EXPECT_THAT(Passed(), ElementsAre("-:4 /1 api:1"));
  EXPECT_EQ(sink_.events[0].source.kind, EndpointKind::kUnknown);
  EXPECT_EQ(sink_.events[0].tap->interface_name, "veth1");
  EXPECT_EQ(enricher_.counters().hold_expired, 1u);
  EXPECT_EQ(enricher_.counters().held, 1u);
  CheckSum();
}

TEST_F(NameHoldTest, OthersAreNotDelayed) {
  enricher_.OnExchange(Make("/held"));
  pairing::Exchange other = MakeServed("/other");
  other.connection.remote = Ip("192.0.2.1");
  enricher_.OnExchange(std::move(other));
  EXPECT_THAT(Passed(), ElementsAre("-:4 /other api:1"));
}

TEST_F(NameHoldTest, TheFarEndIsWaitedForToo) {
  book_.Learn({.slot = 1, .generation = 1}, Ip("10.0.0.1"));
  enricher_.OnExchange(MakeServed("/1"));
  EXPECT_THAT(Passed(), IsEmpty());
  directory_.Publish(MakeTap(1, "web"));
  PassTime(0);
  EXPECT_THAT(Passed(), ElementsAre("web:1 /1 api:1"));
}

TEST_F(NameHoldTest, AConnectionKeepsItsOrder) {
  book_.Learn({.slot = 1, .generation = 1}, Ip("10.0.0.1"));
  enricher_.OnExchange(MakeServed("/1", 8));
  enricher_.OnExchange(MakeServed("/2", 8));
  // The name comes between two exchanges, and before a tick.
  directory_.Publish(MakeTap(1, "web"));
  enricher_.OnExchange(MakeServed("/3", 8));
  EXPECT_THAT(Passed(), ElementsAre("web:1 /1 api:1", "web:1 /2 api:1", "web:1 /3 api:1"));
}

// One that could go stays behind one that can't.
TEST_F(NameHoldTest, AConnectionWaitsForItsFirst) {
  book_.Learn({.slot = 1, .generation = 1}, Ip("10.0.0.1"));
  enricher_.OnExchange(MakeServed("/1", 8));
  pairing::Exchange second = MakeServed("/2", 8);
  second.connection.remote = Ip("192.0.2.1");
  enricher_.OnExchange(std::move(second));
  EXPECT_THAT(Passed(), IsEmpty());
  // A change that names neither: both are looked at again.
  directory_.Publish(MakeTap(3, "new"));
  PassTime(0);
  EXPECT_THAT(Passed(), IsEmpty());
  PassTime(kHoldNs);
  EXPECT_THAT(Passed(), ElementsAre("-:4 /1 api:1", "-:4 /2 api:1"));
  CheckSum();
}

TEST_F(NameHoldTest, TheOldestGoesWhenThereIsNoMoreRoom) {
  for (const char* path : {"/1", "/2", "/3", "/4", "/5"}) {
    enricher_.OnExchange(Make(path));
  }
  EXPECT_THAT(Passed(), ElementsAre("-:4 /1 api:1"));
  EXPECT_EQ(enricher_.counters().hold_full, 1u);
  EXPECT_EQ(enricher_.counters().held, 4u);
  CheckSum();
}

TEST_F(NameHoldTest, BytesAreBoundedToo) {
  Enricher enricher({.hold = {.max_bytes = 50'000}}, clock_, taps_, book_, {&sink_});
  for (int i = 0; i < 10; ++i) {
    enricher.OnExchange(Make("/" + std::string(12'000, 'p')));
  }
  EXPECT_LE(enricher.counters().held_bytes, 50'000u);
  EXPECT_GE(enricher.counters().held, 3u);
  EXPECT_EQ(enricher.counters().hold_full, 10 - enricher.counters().held);
}

// A name that did not come before the tap was closed does not come any more.
TEST_F(NameHoldTest, AClosedTapIsNotWaitedFor) {
  enricher_.OnExchange(Make("/1"));
  directory_.Retire({.slot = 1, .generation = 1}, clock_.monotonic_ns);
  PassTime(0);
  enricher_.OnExchange(Make("/2"));
  EXPECT_THAT(Passed(), ElementsAre("-:4 /1 api:1", "-:4 /2 api:1"));
  EXPECT_EQ(enricher_.counters().hold_named, 0u);
  CheckSum();
}

TEST_F(NameHoldTest, AllGoesWhenTheAgentStops) {
  enricher_.OnExchange(Make("/1"));
  enricher_.OnExchange(Make("/2"));
  enricher_.Finish();
  EXPECT_THAT(Passed(), ElementsAre("-:4 /1 api:1", "-:4 /2 api:1"));
  EXPECT_EQ(enricher_.counters().held, 0u);
  CheckSum();
}

// What waited for a pod that turns out not to be watched never leaves, whatever else it waits for.
TEST_F(NameHoldTest, WhatWaitedForAnExcludedPodIsDropped) {
  directory_.Publish(MakeUnclaimedTap(3));
  book_.Learn({.slot = 3, .generation = 1}, Ip("10.0.0.3"));
  enricher_.OnExchange(Make("/1"));
  pairing::Exchange both = Make("/2", 9);
  both.connection.remote = Ip("10.0.0.3");
  enricher_.OnExchange(std::move(both));
  auto excluded = std::make_shared<TapInfo>(*MakeUnclaimedTap(1));
  excluded->is_excluded = true;
  directory_.Publish(excluded);
  PassTime(0);
  enricher_.OnExchange(Make("/3"));
  EXPECT_EQ(enricher_.counters().held, 0u);
  directory_.Retire(excluded->id, clock_.monotonic_ns);
  enricher_.OnExchange(Make("/4"));
  EXPECT_THAT(Passed(), IsEmpty());
  EXPECT_EQ(enricher_.counters().excluded_by_pod, 4u);
  EXPECT_EQ(enricher_.counters().hold_named + enricher_.counters().hold_expired, 0u);
  CheckSum();
}

// It may be one that is not watched.
TEST_F(NameHoldTest, OfSelectedPodsNothingIsSentWithoutAName) {
  Enricher enricher(
      {.traffic = {.only_known_pods = true}, .hold = {.hold_ns = kHoldNs, .max_exchanges = 4}},
      clock_, taps_, book_, {&sink_});
  for (const char* path : {"/1", "/2", "/3", "/4", "/full"}) {
    enricher.OnExchange(Make(path));
  }
  EXPECT_EQ(enricher.counters().excluded_unnamed, 1u);
  clock_.monotonic_ns += kHoldNs;
  enricher.OnTick(clock_.monotonic_ns);
  EXPECT_EQ(enricher.counters().excluded_unnamed, 5u);
  enricher.OnExchange(Make("/named"));
  // The far end's name is not asked for.
  pairing::Exchange other = MakeServed("/other");
  other.connection.remote = Ip("192.0.2.1");
  enricher.OnExchange(std::move(other));
  directory_.Publish(MakeTap(1, "web"));
  enricher.OnTick(clock_.monotonic_ns);
  EXPECT_THAT(Passed(), ElementsAre("-:4 /other api:1", "web:1 /named api:1"));
  EXPECT_EQ(enricher.counters().hold_expired + enricher.counters().hold_full, 0u);
  EXPECT_EQ(enricher.counters().exchanges,
            enricher.counters().events + enricher.counters().excluded_unnamed);
}

TEST_F(NameHoldTest, ATapThatIsForgottenMeanwhileIsALoss) {
  enricher_.OnExchange(Make("/1"));
  directory_.Retire({.slot = 1, .generation = 1}, clock_.monotonic_ns);
  directory_.Expire(clock_.monotonic_ns + TapDirectoryLimits().tombstone_ns);
  PassTime(0);
  EXPECT_THAT(Passed(), IsEmpty());
  EXPECT_EQ(enricher_.counters().tap_unknown, 1u);
  CheckSum();
}

}  // namespace
}  // namespace podtap::enrichment
