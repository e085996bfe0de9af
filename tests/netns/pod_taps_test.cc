// Taps inside pods' namespaces, against the kernel: what is tapped there, that nothing keeps a
// namespace which is gone, and that nothing has a wrong name.
#include "agent/pod_taps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "agent/capture/tap_counters.h"
#include "tests/netns/pod_taps_fixture.h"
#include "tests/support/wait.h"

namespace podtap::testing {
namespace {

using capture::Direction;
using discovery::Pod;
using discovery::PodNamespace;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

TEST_F(PodTapsTest, AMacvlanPodIsTappedInsideAndSeenBothWays) {
  const MacvlanPod pod("mac", "10.98.9.2/24");
  PodTaps inside(InsideKind::kInterfaces, taps_, directory_, activity_, clock_);
  inside.Update(Wishes(Find({pod.name()}), false));
  ASSERT_THAT(Names(), ElementsAre(Pair("eth0", pod.name())));
  EXPECT_TRUE(inside.IsTapped(pod.name()));
  EXPECT_EQ(inside.counts().pods, 1u);
  // From the host, which has an address on the other end of the master, to a port that is closed:
  // a SYN to the pod, a RST from it.
  RunCommand("bash -c '! (echo > /dev/tcp/10.98.9.2/81) 2>/dev/null'");
  const capture::TapCounters counters = taps_.Counters(Taps()[0]->id).value();
  EXPECT_EQ(TcpPacketsOf(counters, Direction::kToPod).all, 1u);
  EXPECT_EQ(TcpPacketsOf(counters, Direction::kFromPod).all, 1u);
  // And the other way round, to tell the ends apart.
  AskClosedPort(pod.name(), "10.98.9.1");
  const capture::TapCounters more = taps_.Counters(Taps()[0]->id).value();
  EXPECT_EQ(TcpPacketsOf(more, Direction::kToPod).all, 2u);
  EXPECT_EQ(TcpPacketsOf(more, Direction::kFromPod).all, 2u);
}

// A SYN, and no answer: only one direction has packets, which says which is which.
TEST_F(PodTapsTest, WhatLeavesTheInterfaceComesFromThePod) {
  const MacvlanPod pod("out", "10.98.9.2/24");
  PodTaps inside(InsideKind::kInterfaces, taps_, directory_, activity_, clock_);
  inside.Update(Wishes(Find({pod.name()}), false));
  ASSERT_EQ(Taps().size(), 1u);
  RunCommand(absl::StrFormat(
      "nsenter --net=/run/netns/%s sh -c 'ip neigh add 10.98.9.77 lladdr 02:00:00:00:00:77 dev "
      "eth0; timeout 0.3 bash -c \"echo > /dev/tcp/10.98.9.77/81\" 2>/dev/null; true'",
      pod.name()));
  const capture::TapCounters counters = taps_.Counters(Taps()[0]->id).value();
  EXPECT_GE(TcpPacketsOf(counters, Direction::kFromPod).all, 1u);
  EXPECT_EQ(TcpPacketsOf(counters, Direction::kToPod).all, 0u);
}

TEST_F(PodTapsTest, AStackedDeviceAndPairsThatStayInThePodAreLeftAlone) {
  PodNetns pod("stack");
  RunCommand(absl::StrFormat(
      "nsenter --net=/run/netns/%s sh -c 'ip link add link eth0 name upper type macvlan && "
      "ip link add in0 type veth peer name in1 && ip link add br0 type bridge && "
      "ip link set in0 master br0'",
      pod.name()));
  const PodNetns other("other");
  RunCommand(
      absl::StrFormat("nsenter --net=/run/netns/%s ip link add side type veth peer name "
                      "side netns /run/netns/%s",
                      pod.name(), other.name()));
  PodTaps inside(InsideKind::kInterfaces, taps_, directory_, activity_, clock_);
  inside.Update(Wishes(Find({pod.name()}), true));
  EXPECT_THAT(Names(), ElementsAre(Pair("eth0", pod.name())));
}

TEST_F(PodTapsTest, PairsWithTheHostAreLeftToTheHostUnlessWished) {
  PodNetns pod("pair");
  PodTaps inside(InsideKind::kInterfaces, taps_, directory_, activity_, clock_);
  inside.Update(Wishes(Find({pod.name()}), false));
  EXPECT_THAT(Names(), IsEmpty());
  // It is entered again after a while, and tapped when that is wished by then.
  EXPECT_TRUE(WaitUntil([&] {
    inside.Update(Wishes(Find({pod.name()}), true));
    return !Taps().empty();
  }));
  inside.Update({});
  EXPECT_THAT(Names(), IsEmpty());
}

// An interface index says that the pair is gone: it is freed with the namespace.
TEST_F(PodTapsTest, ADeletedNamespaceIsFreedWithinASecond) {
  PodNetns pod("freed");
  PodTaps inside(InsideKind::kInterfaces, taps_, directory_, activity_, clock_);
  inside.Update(Wishes(Find({pod.name()}), true));
  ASSERT_EQ(Taps().size(), 1u);
  ASSERT_NE(pod.host_interface_index(), 0u);
  const int64_t begin_ns = clock_.MonotonicNs();
  // Only the name: as long as the tap is open, the kernel keeps the namespace and the pair.
  RunCommand("ip netns del " + pod.name());
  ASSERT_TRUE(WaitUntil([&] { return pod.host_interface_index() == 0; }));
  EXPECT_LT(clock_.MonotonicNs() - begin_ns, 1'000'000'000);
  EXPECT_THAT(Names(), IsEmpty());
  pod.Forget();
}

// Whenever the pod would have been entered next.
TEST_F(PodTapsTest, ATapGoesWithItsInterfaceAndComesBackWithAnotherAtOnce) {
  PodNetns pod("down");
  ManualClock clock;
  PodTaps inside(InsideKind::kInterfaces, taps_, directory_, activity_, clock);
  VisitUntilRare(inside, Find({pod.name()}), clock);
  ASSERT_EQ(Taps().size(), 1u);
  RunCommand("ip link del " + pod.host_interface());
  ASSERT_TRUE(WaitUntil([&] { return Taps().empty(); }));
  RunCommand(absl::StrFormat("ip link add %s type veth peer name eth1 netns %s",
                             pod.host_interface(), pod.name()));
  inside.Update(Wishes(Find({pod.name()}), true));
  EXPECT_THAT(Names(), ElementsAre(Pair("eth1", pod.name())));
}

// The inode that was found is another namespace's by now.
TEST_F(PodTapsTest, APathThatStandsForAnotherNamespaceByNowIsNotTapped) {
  const PodNetns pod("moved");
  std::vector<PodNamespace> found = Find({pod.name()});
  ++found.at(0).inode;
  PodTaps inside(InsideKind::kInterfaces, taps_, directory_, activity_, clock_);
  inside.Update(Wishes(found, true));
  EXPECT_THAT(Names(), IsEmpty());
}

// The interface alone would not tell: as long as its tap is open, it is there.
TEST_F(PodTapsTest, ANamespaceThatAnotherTookThePlaceOfIsFreed) {
  PodNetns pod("replaced");
  PodTaps inside(InsideKind::kInterfaces, taps_, directory_, activity_, clock_);
  inside.Update(Wishes(Find({pod.name()}), true));
  ASSERT_EQ(Taps().size(), 1u);
  RunCommand(absl::StrFormat("ip netns del %1$s && ip netns add %1$s", pod.name()));
  EXPECT_TRUE(WaitUntil([&] { return pod.host_interface_index() == 0; }, 2));
  EXPECT_THAT(Names(), IsEmpty());
}

// Under the same path the kernel makes another namespace, usually with the inode of the one before.
TEST_F(PodTapsTest, ANamespaceUnderTheSameNameIsTappedAnew) {
  PodNetns pod("again");
  PodTaps inside(InsideKind::kInterfaces, taps_, directory_, activity_, clock_);
  inside.Update(Wishes(Find({pod.name()}), true));
  ASSERT_EQ(Taps().size(), 1u);
  const capture::TapId before = Taps()[0]->id;
  RunCommand(
      absl::StrFormat("ip link del %2$s; ip netns del %1$s; ip netns add %1$s; "
                      "ip link add %2$s type veth peer name eth0 netns %1$s",
                      pod.name(), pod.host_interface()));
  EXPECT_TRUE(WaitUntil([&] {
    inside.Update(Wishes(Find({pod.name()}), true));
    return Taps().size() == 1 && Taps()[0]->id != before;
  }));
}

// The one before is still there, as one is that something holds.
TEST_F(PodTapsTest, APodThatIsInAnotherNamespaceByNowIsTappedThere) {
  const PodNetns before("before");
  const PodNetns after("after");
  std::vector<PodNamespace> places = Find({before.name(), after.name()});
  ASSERT_EQ(places.size(), 2u);
  for (PodNamespace& place : places) {
    ChangePod(place, [](Pod& known) { known.id = "one pod"; });
  }
  PodTaps inside(InsideKind::kInterfaces, taps_, directory_, activity_, clock_);
  inside.Update(Wishes({places[0]}, true));
  EXPECT_THAT(Names(), ElementsAre(Pair("eth0", before.name())));
  inside.Update(Wishes({places[1]}, true));
  EXPECT_THAT(Names(), ElementsAre(Pair("eth0", after.name())));
  EXPECT_EQ(inside.counts().closed, 1u);
}

// As when the process that a namespace was known by is gone, and another one lives there: whenever
// the pod would have been entered next, its taps are open again as soon as it is listed so.
TEST_F(PodTapsTest, ANamespaceThatIsKnownByAnotherPathIsTappedAgainAtOnce) {
  const PodNetns pod("paths");
  const std::string path = "/run/netns/" + pod.name();
  const std::string other = path + "-too";
  RunCommand(absl::StrFormat("touch %2$s && mount --bind %1$s %2$s", path, other));
  std::vector<PodNamespace> found = Find({pod.name()});
  ChangePod(found.at(0), [&](Pod& known) { known.namespace_path = other; });
  ManualClock clock;
  PodTaps inside(InsideKind::kInterfaces, taps_, directory_, activity_, clock);
  VisitUntilRare(inside, found, clock);
  EXPECT_EQ(Taps().size(), 1u);
  RunCommand(absl::StrFormat("umount %1$s && rm %1$s", other));
  EXPECT_TRUE(WaitUntil([&] { return Taps().empty(); }));
  ChangePod(found.at(0), [&](Pod& known) { known.namespace_path = path; });
  inside.Update(Wishes(found, true));
  EXPECT_THAT(Names(), ElementsAre(Pair("eth0", pod.name())));
}

TEST_F(PodTapsTest, NoOtherThreadLeavesItsNamespace) {
  const auto own = [] {
    struct stat status {};
    ::stat("/proc/thread-self/ns/net", &status);
    return status.st_ino;
  };
  const ino_t before = own();
  PodNetns pod("own");
  PodTaps inside(InsideKind::kInterfaces, taps_, directory_, activity_, clock_);
  inside.Update(Wishes(Find({pod.name()}), true));
  EXPECT_EQ(own(), before);
  EXPECT_EQ(Taps().size(), 1u);
}

TEST_F(PodTapsTest, APodThatMakesManyInterfacesHasABoundAndIsTriedLessAndLessOften) {
  PodNetns pod("many");
  RunCommand(
      absl::StrFormat("nsenter --net=/run/netns/%s sh -c 'for i in $(seq 12); do ip link add b$i "
                      "type bridge; done'",
                      pod.name()));
  ManualClock clock;
  PodTaps inside(InsideKind::kInterfaces, taps_, directory_, activity_, clock);
  const std::vector<InsideWish> wishes = Wishes(Find({pod.name()}), true);
  uint64_t failed = 0;
  for (int64_t pause_ns = 50'000'000; pause_ns <= 800'000'000; pause_ns *= 2) {
    inside.Update(wishes);
    EXPECT_EQ(Taps().size(), 8u);
    // The others, in each visit.
    failed += 5;
    EXPECT_EQ(inside.counts().failed, failed);
    clock.Pass(pause_ns - 1);
    inside.Update(wishes);
    EXPECT_EQ(inside.counts().failed, failed);
    clock.Pass(1);
  }
}

TEST_F(PodTapsTest, APodThatWentBeforeItWasEnteredIsNoFailure) {
  PodNetns pod("went");
  const std::vector<InsideWish> wishes = Wishes(Find({pod.name()}), true);
  RunCommand("ip netns del " + pod.name());
  pod.Forget();
  PodTaps inside(InsideKind::kInterfaces, taps_, directory_, activity_, clock_);
  inside.Update(wishes);
  EXPECT_EQ(inside.counts().failed, 0u);
  EXPECT_THAT(inside.failures(), IsEmpty());
}

TEST_F(PodTapsTest, PacketsBeforeTheTapAreMissedUnlessAnotherTapSawThem) {
  const PodNetns pod("before");
  SendFrame(pod.host_interface(), std::vector<uint8_t>(60));
  for (const bool was_seen : {false, true}) {
    PodTaps inside(InsideKind::kInterfaces, taps_, directory_, activity_, clock_);
    std::vector<InsideWish> wishes = Wishes(Find({pod.name()}), true);
    wishes[0].was_seen = was_seen;
    inside.Update(wishes);
    EXPECT_EQ(inside.counts().opened, 1u);
    EXPECT_EQ(inside.counts().late, was_seen ? 0u : 1u);
    EXPECT_EQ(inside.counts().packets_before > 0, !was_seen);
    inside.Update({});
  }
}

TEST_F(PodTapsTest, WhatIsKnownOfThePodByNowIsPublished) {
  const PodNetns pod("known");
  PodTaps inside(InsideKind::kInterfaces, taps_, directory_, activity_, clock_);
  std::vector<PodNamespace> found = Find({pod.name()});
  inside.Update(Wishes(found, true));
  ASSERT_EQ(Taps().size(), 1u);
  EXPECT_THAT(Taps()[0]->pod->labels, IsEmpty());
  ChangePod(found.at(0), [](Pod& known) { known.identity.labels = {{"app", "web"}}; });
  inside.Update(Wishes(found, true));
  ASSERT_EQ(Taps().size(), 1u);
  EXPECT_THAT(Taps()[0]->pod->labels, ElementsAre(Pair("app", "web")));
}

}  // namespace
}  // namespace podtap::testing
