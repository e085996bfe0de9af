// Which pods are tapped inside, and on what: loopback, and the manager's choice of where.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "agent/capture/tap_counters.h"
#include "tests/netns/pod_taps_fixture.h"
#include "tests/support/wait.h"

namespace podtap::testing {
namespace {

using capture::Direction;
using discovery::Pod;
using discovery::PodNamespace;
using discovery::Rtnl;
using discovery::View;
using enrichment::CaptureMode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using ::testing::UnorderedElementsAreArray;

// Loopback, which is tapped apart.

class LoopbackTapsTest : public PodTapsTest {
 protected:
  // Each open tap as "interface of pod, mode".
  std::vector<std::string> Described() {
    std::vector<std::string> described;
    for (const auto& tap : Taps()) {
      described.push_back(absl::StrFormat("%s of %s, %d", tap->interface_name, tap->pod->pod_name,
                                          static_cast<int>(tap->mode)));
    }
    return described;
  }
  static std::string Loopback(const PodNetns& pod) { return "lo of " + pod.name() + ", 3"; }

  PodTaps loopback_{InsideKind::kLoopback, taps_, directory_, activity_, clock_};
};

// A SYN to a port that is closed and its RST, counted once each and in different directions.
TEST_F(LoopbackTapsTest, LoopbackAloneIsTappedAndEachPacketCountsOnce) {
  const PodNetns pod("lo");
  loopback_.Update(Wishes(Find({pod.name()}), false));
  ASSERT_THAT(Described(), ElementsAre(Loopback(pod)));
  EXPECT_EQ(loopback_.counts().pods, 1u);
  AskClosedPort(pod.name(), "127.0.0.1");
  const capture::TapCounters counters = taps_.Counters(Taps()[0]->id).value();
  EXPECT_EQ(TcpPacketsOf(counters, Direction::kToPod).all, 1u);
  EXPECT_EQ(TcpPacketsOf(counters, Direction::kFromPod).all, 1u);
}

// The kernel counts what crosses loopback as sent and as received.
TEST_F(LoopbackTapsTest, PacketsBeforeAreCountedOnce) {
  const PodNetns pod("before");
  AskClosedPort(pod.name(), "127.0.0.1");
  loopback_.Update(Wishes(Find({pod.name()}), false));
  EXPECT_EQ(loopback_.counts().late, 1u);
  EXPECT_EQ(loopback_.counts().packets_before, 2u);
  ASSERT_EQ(Taps().size(), 1u);
  EXPECT_EQ(Taps()[0]->packets_before, 2u);
}

TEST_F(LoopbackTapsTest, ADeletedNamespaceIsFreedWithinASecond) {
  PodNetns pod("freed");
  loopback_.Update(Wishes(Find({pod.name()}), false));
  ASSERT_THAT(Described(), ElementsAre(Loopback(pod)));
  const int64_t begin_ns = clock_.MonotonicNs();
  RunCommand("ip netns del " + pod.name());
  ASSERT_TRUE(WaitUntil([&] { return pod.host_interface_index() == 0; }));
  EXPECT_LT(clock_.MonotonicNs() - begin_ns, 1'000'000'000);
  EXPECT_THAT(Described(), IsEmpty());
  pod.Forget();
}

TEST_F(LoopbackTapsTest, ItIsAnExtraOfWhateverElseIsTapped) {
  const PodNetns pair("pair");
  const MacvlanPod macvlan("mac", "10.98.9.2/24");
  const std::vector<std::string> names = {pair.name(), macvlan.name()};
  for (const PodNetnsMode mode :
       {PodNetnsMode::kNever, PodNetnsMode::kFallback, PodNetnsMode::kAlways}) {
    TapManager manager(taps_, directory_, activity_, program_, Rtnl::Open().value(), clock_,
                       {.interfaces = mode, .loopback = true});
    std::vector<std::string> expected = {"lo of " + pair.name() + ", 3",
                                         "lo of " + macvlan.name() + ", 3"};
    expected.push_back(mode == PodNetnsMode::kAlways
                           ? "eth0 of " + pair.name() + ", 2"
                           : pair.host_interface() + " of " + pair.name() + ", 1");
    if (mode != PodNetnsMode::kNever) {
      expected.push_back("eth0 of " + macvlan.name() + ", 2");
    }
    for (int i = 0; i < 2; ++i) {
      manager.OnView(Look(names));
      EXPECT_THAT(Described(), UnorderedElementsAreArray(expected));
    }
    std::map<std::string, uint64_t> counts;
    manager.Visit(
        [&](const CounterValue& value) { counts[std::string(value.name)] = value.count; });
    EXPECT_EQ(counts["pods_tapped_on_loopback"], 2u);
    // None, the one on macvlan, both.
    EXPECT_EQ(counts["pods_tapped_inside"], static_cast<uint64_t>(mode));
    manager.OnView({});
    EXPECT_THAT(Described(), IsEmpty());
  }
}

TEST_F(LoopbackTapsTest, WhoIsLeftOutIsNotEnteredAndNobodyWithoutTheWish) {
  const PodNetns pod("out");
  View view = Look({pod.name()});
  ChangePod(view.pods[0], [](Pod& known) { known.excluded_because = "it is told so"; });
  view.taps.clear();
  TapManager wished(taps_, directory_, activity_, program_, Rtnl::Open().value(), clock_,
                    {.loopback = true});
  wished.OnView(view);
  EXPECT_THAT(Described(), IsEmpty());
  TapManager unwished(taps_, directory_, activity_, program_, Rtnl::Open().value(), clock_);
  ChangePod(view.pods[0], [](Pod& known) { known.excluded_because.clear(); });
  unwished.OnView(view);
  EXPECT_THAT(Described(), IsEmpty());
}

// The manager's choice of where.

class ChoiceTest : public PodTapsTest {
 protected:
  std::vector<std::pair<std::string, CaptureMode>> Modes() {
    std::vector<std::pair<std::string, CaptureMode>> modes;
    for (const auto& tap : Taps()) {
      modes.emplace_back(tap->pod->pod_name, tap->mode);
    }
    return modes;
  }
};

TEST_F(ChoiceTest, FallbackEntersThoseThatTheHostDoesNotSee) {
  const PodNetns pair("pair");
  const MacvlanPod macvlan("mac", "10.98.9.2/24");
  TapManager manager(taps_, directory_, activity_, program_, Rtnl::Open().value(), clock_,
                     {.interfaces = PodNetnsMode::kFallback});
  for (int i = 0; i < 2; ++i) {
    manager.OnView(Look({pair.name(), macvlan.name()}));
    EXPECT_THAT(Modes(), UnorderedElementsAre(Pair(pair.name(), CaptureMode::kHostVeth),
                                              Pair(macvlan.name(), CaptureMode::kPodNetns)));
  }
}

TEST_F(ChoiceTest, NeverEntersNone) {
  const PodNetns pair("pair");
  const MacvlanPod macvlan("mac", "10.98.9.2/24");
  TapManager manager(taps_, directory_, activity_, program_, Rtnl::Open().value(), clock_);
  manager.OnView(Look({pair.name(), macvlan.name()}));
  EXPECT_THAT(Modes(), ElementsAre(Pair(pair.name(), CaptureMode::kHostVeth)));
}

TEST_F(ChoiceTest, WhoIsLeftOutIsNotEntered) {
  const PodNetns pair("pair");
  const MacvlanPod macvlan("mac", "10.98.9.2/24");
  View view = Look({pair.name(), macvlan.name()});
  for (PodNamespace& pod : view.pods) {
    ChangePod(pod, [](Pod& known) { known.excluded_because = "it is told so"; });
  }
  for (const PodNetnsMode mode : {PodNetnsMode::kFallback, PodNetnsMode::kAlways}) {
    TapManager manager(taps_, directory_, activity_, program_, Rtnl::Open().value(), clock_,
                       {.interfaces = mode});
    view.taps.clear();
    manager.OnView(view);
    EXPECT_THAT(Modes(), IsEmpty());
  }
}

TEST_F(ChoiceTest, AlwaysEntersAllAndTapsNothingOfTheHosts) {
  const PodNetns pair("pair");
  const MacvlanPod macvlan("mac", "10.98.9.2/24");
  TapManager manager(taps_, directory_, activity_, program_, Rtnl::Open().value(), clock_,
                     {.interfaces = PodNetnsMode::kAlways});
  Rtnl rtnl = Rtnl::Open().value();
  manager.OnLink(rtnl.FindLink(pair.host_interface_index()).value().value(), clock_.MonotonicNs());
  manager.OnView(Look({pair.name(), macvlan.name()}));
  EXPECT_THAT(Modes(), UnorderedElementsAre(Pair(pair.name(), CaptureMode::kPodNetns),
                                            Pair(macvlan.name(), CaptureMode::kPodNetns)));
}

}  // namespace
}  // namespace podtap::testing
