// Taps inside pods' namespaces, against the kernel: what is tapped there, that nothing keeps a
// namespace which is gone, and that nothing has a wrong name.
#include "agent/pod_taps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sys/stat.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "agent/capture/tap_counters.h"
#include "agent/tap_manager.h"
#include "tests/support/netns.h"
#include "tests/support/pods.h"
#include "tests/support/wait.h"

namespace podtap::testing {
namespace {

using capture::CaptureProgram;
using capture::Direction;
using capture::TapSet;
using discovery::Pod;
using discovery::PodNamespace;
using discovery::Rtnl;
using discovery::View;
using enrichment::CaptureMode;
using enrichment::TapDirectory;
using enrichment::TapTable;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using ::testing::UnorderedElementsAreArray;

std::vector<PodNamespace> Find(const std::vector<std::string>& names) {
  std::vector<Pod> pods;
  for (const std::string& name : names) {
    pods.push_back(MakePod(name));
  }
  Rtnl rtnl = Rtnl::Open().value();
  // Lets the kernel give ids to the namespaces.
  EXPECT_TRUE(rtnl.Links().ok());
  return FindNamespaces(discovery::Share(pods), rtnl);
}

// A namespace whose only interface is a macvlan over one end of a pair in the host's.
class MacvlanPod {
 public:
  MacvlanPod(const std::string& name, const std::string& address)
      : name_(absl::StrFormat("pt%d-%s", ::getpid(), name)),
        master_(absl::StrFormat("pt%dm", ::getpid())) {
    RunCommand(absl::StrFormat(
        "ip netns add %1$s && ip link add %2$s type veth peer name %2$sp && ip link set %2$s up && "
        "ip link set %2$sp up && ip addr add 10.98.9.1/24 dev %2$sp && "
        "ip link add link %2$s name %2$sv type macvlan mode bridge && "
        "ip link set %2$sv netns %1$s name eth0 && nsenter --net=/run/netns/%1$s sh -c '"
        "ip link set lo up; ip addr add %3$s dev eth0; ip link set eth0 up'",
        name_, master_, address));
  }
  ~MacvlanPod() { RunCommand(absl::StrFormat("ip netns del %s; ip link del %s", name_, master_)); }
  const std::string& name() const { return name_; }

 private:
  const std::string name_;
  const std::string master_;
};

class PodTapsTest : public ::testing::Test {
 protected:
  PodTapsTest() : program_(CaptureProgram::Load({}).value()) {}

  // The open taps.
  std::vector<std::shared_ptr<const enrichment::TapInfo>> Taps() {
    TapTable table;
    directory_.CopyTo(table);
    std::vector<std::shared_ptr<const enrichment::TapInfo>> taps;
    for (const auto& [id, entry] : table.taps) {
      if (!entry.retired) {
        taps.push_back(entry.tap);
      }
    }
    return taps;
  }
  // Interface and pod of each open tap.
  std::vector<std::pair<std::string, std::string>> Names() {
    std::vector<std::pair<std::string, std::string>> names;
    for (const auto& tap : Taps()) {
      EXPECT_EQ(tap->mode, CaptureMode::kPodNetns);
      names.emplace_back(tap->interface_name, tap->pod == nullptr ? "" : tap->pod->pod_name);
    }
    return names;
  }
  static View Look(const std::vector<std::string>& names) {
    View view;
    Rtnl rtnl = Rtnl::Open().value();
    view.pods = Find(names);
    view.taps = PlanTaps(rtnl.Links().value(), view.pods);
    std::erase_if(view.taps, [](const discovery::WantedTap& tap) { return !tap.owner; });
    return view;
  }
  static std::vector<InsideWish> Wishes(const std::vector<PodNamespace>& pods, bool pairs_too) {
    std::vector<InsideWish> wishes;
    for (const PodNamespace& pod : pods) {
      wishes.push_back({.pod = pod, .pairs_too = pairs_too});
    }
    return wishes;
  }

  const SystemClock clock_;
  CaptureProgram program_;
  TapDirectory directory_;
  TapActivity activity_;
  TapSet taps_{program_, [](capture::TapId) {}};
};

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
  RunCommand(
      absl::StrFormat("nsenter --net=/run/netns/%s bash -c "
                      "'! (echo > /dev/tcp/10.98.9.1/81) 2>/dev/null'",
                      pod.name()));
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

TEST_F(PodTapsTest, ATapGoesWithItsInterfaceAndComesBackWithAnother) {
  PodNetns pod("down");
  PodTaps inside(InsideKind::kInterfaces, taps_, directory_, activity_, clock_);
  inside.Update(Wishes(Find({pod.name()}), true));
  ASSERT_EQ(Taps().size(), 1u);
  RunCommand("ip link del " + pod.host_interface());
  ASSERT_TRUE(WaitUntil([&] { return Taps().empty(); }));
  RunCommand(absl::StrFormat("ip link add %s type veth peer name eth1 netns %s",
                             pod.host_interface(), pod.name()));
  EXPECT_TRUE(WaitUntil([&] {
    inside.Update(Wishes(Find({pod.name()}), true));
    return Names() == std::vector<std::pair<std::string, std::string>>{{"eth1", pod.name()}};
  }));
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

// A clock that stands still until it is told.
class ManualClock : public Clock {
 public:
  int64_t MonotonicNs() const override { return now_ns_; }
  int64_t WallNs() const override { return now_ns_; }
  void Pass(int64_t ns) { now_ns_ += ns; }

 private:
  std::atomic<int64_t> now_ns_{1};
};

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
  for (int i = 0; i < 12; ++i) {
    inside.Update(Wishes(found, true));
    clock.Pass(int64_t{60} * 1'000'000'000);
  }
  inside.Update(Wishes(found, true));
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

TEST_F(PodTapsTest, APodThatMakesManyInterfacesHasABound) {
  PodNetns pod("many");
  RunCommand(
      absl::StrFormat("nsenter --net=/run/netns/%s sh -c 'for i in $(seq 12); do ip link add b$i "
                      "type bridge; done'",
                      pod.name()));
  PodTaps inside(InsideKind::kInterfaces, taps_, directory_, activity_, clock_);
  inside.Update(Wishes(Find({pod.name()}), true));
  EXPECT_EQ(Taps().size(), 8u);
  EXPECT_GE(inside.counts().failed, 1u);
}

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
  RunCommand(
      absl::StrFormat("nsenter --net=/run/netns/%s bash -c "
                      "'! (echo > /dev/tcp/127.0.0.1/81) 2>/dev/null'",
                      pod.name()));
  const capture::TapCounters counters = taps_.Counters(Taps()[0]->id).value();
  EXPECT_EQ(TcpPacketsOf(counters, Direction::kToPod).all, 1u);
  EXPECT_EQ(TcpPacketsOf(counters, Direction::kFromPod).all, 1u);
}

// The kernel counts what crosses loopback as sent and as received.
TEST_F(LoopbackTapsTest, PacketsBeforeAreCountedOnce) {
  const PodNetns pod("before");
  RunCommand(
      absl::StrFormat("nsenter --net=/run/netns/%s bash -c "
                      "'! (echo > /dev/tcp/127.0.0.1/81) 2>/dev/null'",
                      pod.name()));
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
