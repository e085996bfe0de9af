// Taps against the kernel: open before their pod is known, and never under a wrong name, however
// indexes, names and namespace ids are reused.
#include "agent/tap_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "agent/discovery/netns_source.h"
#include "tests/support/fake_source.h"
#include "tests/support/netns.h"
#include "tests/support/pods.h"
#include "tests/support/wait.h"

namespace podtap::testing {
namespace {

using capture::CaptureProgram;
using capture::TapSet;
using discovery::Link;
using discovery::Pod;
using discovery::PodList;
using discovery::PodNamespace;
using discovery::Rtnl;
using discovery::View;
using discovery::WantedTap;
using discovery::Watcher;
using enrichment::TapDirectory;
using enrichment::TapTable;

constexpr char kDirectory[] = "/run/netns";

class TapManagerTest : public ::testing::Test {
 protected:
  TapManagerTest() : program_(CaptureProgram::Load({}).value()) {}

  Watcher::Handlers Handlers() {
    return {
        .on_view =
            [this](const View& view) {
              manager_.OnView(view);
              ++views_;
            },
        .on_link = [this](const Link& link, int64_t since_ns) { manager_.OnLink(link, since_ns); },
        .on_owners = [this](const auto& taps) { manager_.OnOwners(taps); },
        .on_namespace_gone = [this](int32_t id) { manager_.OnNamespaceGone(id); }};
  }
  // A watcher of the pods that source_ lists.
  std::unique_ptr<Watcher> Watch() {
    auto source = std::make_unique<FakeSource>();
    source_ = source.get();
    auto watcher = Watcher::Start(std::move(source), "/nonexistent", Handlers());
    EXPECT_TRUE(watcher.ok()) << watcher.status();
    EXPECT_TRUE(WaitUntil([&] { return views_ > 0; }));
    return *std::move(watcher);
  }
  // What the directory knows of the open tap of an interface; null without one.
  std::shared_ptr<const enrichment::TapInfo> TapOf(const std::string& interface_name) {
    TapTable table;
    directory_.CopyTo(table);
    for (const auto& [id, entry] : table.taps) {
      if (!entry.retired && entry.tap->interface_name == interface_name) {
        return entry.tap;
      }
    }
    return nullptr;
  }
  bool WaitForTap(const std::string& interface_name, const std::string& pod) {
    return WaitUntil([&] {
      const auto tap = TapOf(interface_name);
      return tap != nullptr && (tap->pod == nullptr ? "" : tap->pod->pod_name) == pod;
    });
  }
  uint64_t Count(std::string_view name) {
    uint64_t count = 0;
    manager_.Visit([&](const CounterValue& value) {
      if (value.name == name) {
        count = value.count;
      }
    });
    return count;
  }
  // One look at one interface, which the look takes for `owner`'s.
  WantedTap Wanted(const PodNetns& netns, const std::optional<Pod>& owner = std::nullopt) {
    Rtnl rtnl = Rtnl::Open().value();
    const Link link = rtnl.FindLink(netns.host_interface_index()).value().value();
    WantedTap wanted{.interface_index = link.index,
                     .interface_name = link.name,
                     .namespace_id = link.peer_namespace_id.value()};
    if (owner) {
      const std::vector<PodNamespace> found = FindNamespaces(discovery::Share({*owner}), rtnl);
      EXPECT_EQ(found.size(), 1u);
      wanted.owner = found.at(0);
    }
    return wanted;
  }

  const SystemClock clock_;
  CaptureProgram program_;
  TapDirectory directory_;
  TapSet taps_{program_, [](capture::TapId) {}};
  TapActivity activity_;
  TapManager manager_{taps_,
                      directory_,
                      activity_,
                      program_,
                      Rtnl::Open().value(),
                      clock_,
                      {},
                      {.unclaimed_ns = 1'500'000'000}};
  std::atomic<int> views_{0};
  FakeSource* source_ = nullptr;
};

TEST_F(TapManagerTest, AnInterfaceIsTappedBeforeItsPodIsKnown) {
  const auto watcher = Watch();
  const PodNetns pod("early");
  ASSERT_TRUE(WaitForTap(pod.host_interface(), ""));
  const capture::TapId id = TapOf(pod.host_interface())->id;
  source_->Set(PodList{.pods = {MakePod(pod.name())}});
  ASSERT_TRUE(WaitForTap(pod.host_interface(), pod.name()));
  const auto tap = TapOf(pod.host_interface());
  EXPECT_EQ(tap->id, id);
  ASSERT_TRUE(tap->attach_delay_ns);
  EXPECT_LT(*tap->attach_delay_ns, 2'000'000'000);
  const HistogramValues delays = manager_.attach_delay();
  EXPECT_GE(std::accumulate(delays.counts.begin(), delays.counts.end(), uint64_t{0}), 1u);
}

TEST_F(TapManagerTest, WhatWasThereBeforeTheAgentHasNoDelayAndIsLate) {
  PodNetns pod("before");
  pod.AddAddresses("10.98.8.1/24", "10.98.8.2/24");
  // A datagram, and before it who has that address.
  RunCommand("bash -c 'echo x > /dev/udp/10.98.8.2/9'");
  const auto watcher = Watch();
  ASSERT_TRUE(WaitForTap(pod.host_interface(), ""));
  const auto tap = TapOf(pod.host_interface());
  EXPECT_FALSE(tap->attach_delay_ns);
  EXPECT_GE(tap->packets_before, 1u);
  EXPECT_GE(Count("taps_late"), 1u);
}

TEST_F(TapManagerTest, ATapThatNobodyClaimsIsLetGoUntilSomebodyDoes) {
  const auto watcher = Watch();
  const PodNetns pod("nobodys");
  ASSERT_TRUE(WaitForTap(pod.host_interface(), ""));
  const uint32_t generation = TapOf(pod.host_interface())->id.generation;
  ASSERT_TRUE(WaitUntil([&] { return TapOf(pod.host_interface()) == nullptr; }));
  EXPECT_GE(Count("taps_unclaimed"), 1u);
  // It is told of again and looked at again, but is what it was.
  const int views = views_;
  RunCommand("ip link set " + pod.host_interface() + " mtu 1400");
  ASSERT_TRUE(WaitUntil([&] { return views_ > views + 1; }));
  EXPECT_EQ(TapOf(pod.host_interface()), nullptr);
  source_->Set(PodList{.pods = {MakePod(pod.name())}});
  ASSERT_TRUE(WaitForTap(pod.host_interface(), pod.name()));
  EXPECT_GE(TapOf(pod.host_interface())->id.generation, generation);
}

TEST_F(TapManagerTest, NoTapIsLetGoWhileTheSourceIsAway) {
  const PodNetns pod("patient");
  WantedTap wanted = Wanted(pod);
  manager_.OnView({.taps = {wanted}, .source_answered = false});
  ASSERT_NE(TapOf(pod.host_interface()), nullptr);
  const auto wait_for_limit = [&] {
    return WaitUntil(
        [&, begin = clock_.MonotonicNs()] { return clock_.MonotonicNs() - begin > 1'600'000'000; });
  };
  ASSERT_TRUE(wait_for_limit());
  manager_.OnView({.taps = {wanted}, .source_answered = false});
  EXPECT_NE(TapOf(pod.host_interface()), nullptr);
  // The source's first answer may lack what came while it was away.
  manager_.OnView({.taps = {wanted}});
  EXPECT_NE(TapOf(pod.host_interface()), nullptr);
  ASSERT_TRUE(wait_for_limit());
  manager_.OnView({.taps = {wanted}});
  EXPECT_EQ(TapOf(pod.host_interface()), nullptr);
}

// A look that found the interface before a namespace went, and the pod after another namespace had
// got its id.
TEST_F(TapManagerTest, AnIdThatWasReusedInTheMiddleOfALookNamesNobody) {
  const PodNetns victim("victim");
  const PodNetns other("other");
  WantedTap wanted = Wanted(victim, MakePod(other.name()));
  wanted.owner->namespace_id = wanted.namespace_id;
  manager_.OnView({.taps = {wanted}});
  const auto tap = TapOf(victim.host_interface());
  ASSERT_NE(tap, nullptr);
  EXPECT_EQ(tap->pod, nullptr);
  EXPECT_EQ(Count("owners_refuted"), 1u);
  manager_.OnView({.taps = {Wanted(victim, MakePod(victim.name()))}});
  EXPECT_EQ(TapOf(victim.host_interface())->pod->pod_name, victim.name());
  EXPECT_EQ(TapOf(victim.host_interface())->id, tap->id);
}

TEST_F(TapManagerTest, APathThatStandsForAnotherNamespaceByNowNamesNobody) {
  const PodNetns pod("moved");
  WantedTap wanted = Wanted(pod, MakePod(pod.name()));
  ++wanted.owner->inode;
  manager_.OnView({.taps = {wanted}});
  EXPECT_EQ(TapOf(pod.host_interface())->pod, nullptr);
  EXPECT_EQ(Count("owners_refuted"), 1u);
}

// The name, the index and the id of the namespace are those of the pod before.
TEST_F(TapManagerTest, AnInterfaceOfAnotherPodUnderTheSameIndexGetsATapOfItsOwn) {
  auto first = std::make_unique<PodNetns>("first");
  const PodNetns second("second");
  const WantedTap before = Wanted(*first, MakePod(first->name()));
  manager_.OnView({.taps = {before}});
  const auto old_tap = TapOf(first->host_interface());
  ASSERT_EQ(old_tap->pod->pod_name, first->name());
  const std::string name = first->host_interface();
  first.reset();
  RunCommand(absl::StrFormat("ip link add %s index %d type veth peer name eth1 netns %s", name,
                             before.interface_index, second.name()));
  Rtnl rtnl = Rtnl::Open().value();
  manager_.OnLink(rtnl.FindLink(before.interface_index).value().value(), clock_.MonotonicNs());
  const auto fresh = TapOf(name);
  ASSERT_NE(fresh, nullptr);
  EXPECT_NE(fresh->id, old_tap->id);
  EXPECT_EQ(fresh->pod, nullptr);
  // A look from before the change claims it for the pod that is gone.
  manager_.OnView({.taps = {before}});
  if (const auto tap = TapOf(name); tap != nullptr) {
    EXPECT_EQ(tap->pod, nullptr);
  }
  RunCommand("ip link del " + name);
}

TEST_F(TapManagerTest, WhatWaitedUnderAnIdThatIsGoneIsClosed) {
  const PodNetns waiting("waiting");
  const PodNetns owned("owned");
  manager_.OnView({.taps = {Wanted(waiting), Wanted(owned, MakePod(owned.name()))}});
  manager_.OnNamespaceGone(Wanted(waiting).namespace_id);
  manager_.OnNamespaceGone(Wanted(owned).namespace_id);
  EXPECT_EQ(TapOf(waiting.host_interface()), nullptr);
  EXPECT_NE(TapOf(owned.host_interface()), nullptr);
}

TEST_F(TapManagerTest, ARenamedInterfaceKeepsItsTap) {
  const PodNetns pod("renamed");
  manager_.OnView({.taps = {Wanted(pod, MakePod(pod.name()))}});
  const auto tap = TapOf(pod.host_interface());
  ASSERT_NE(tap, nullptr);
  WantedTap wanted = Wanted(pod, MakePod(pod.name()));
  wanted.interface_name = "another";
  ChangePod(*wanted.owner, [](Pod& known) { known.identity.labels = {{"app", "web"}}; });
  manager_.OnView({.taps = {wanted}});
  ASSERT_NE(TapOf("another"), nullptr);
  EXPECT_EQ(TapOf("another")->id, tap->id);
  EXPECT_EQ(TapOf("another")->pod->labels.count("app"), 1u);
}

TEST_F(TapManagerTest, APodThatIsNotListedAnyMoreIsNotTappedAnyMore) {
  const PodNetns pod("unlisted");
  manager_.OnView({.taps = {Wanted(pod, MakePod(pod.name()))}});
  ASSERT_NE(TapOf(pod.host_interface()), nullptr);
  for (int i = 0; i < 2; ++i) {
    manager_.OnView({.taps = {Wanted(pod)}});
    EXPECT_EQ(TapOf(pod.host_interface()), nullptr);
  }
  EXPECT_EQ(Count("taps_unclaimed"), 0u);
}

TEST_F(TapManagerTest, APodThatIsLeftOutIsNotTapped) {
  const PodNetns early("early");
  const PodNetns old("old");
  const auto wanted = [&](const PodNetns& netns, const std::string& reason) {
    WantedTap tap = Wanted(netns, MakePod(netns.name()));
    ChangePod(*tap.owner, [&](Pod& known) { known.excluded_because = reason; });
    return tap;
  };
  // One is tapped before its pod is known, the other is there when the agent comes.
  manager_.OnView({.taps = {Wanted(early)}});
  const capture::TapId id = TapOf(early.host_interface())->id;
  manager_.OnOwners({wanted(early, "by a rule")});
  manager_.OnView({.taps = {wanted(early, "by a rule"), wanted(old, "by a rule")}});
  EXPECT_EQ(TapOf(early.host_interface()), nullptr);
  EXPECT_EQ(TapOf(old.host_interface()), nullptr);
  EXPECT_EQ(Count("taps_excluded"), 1u);
  EXPECT_TRUE(directory_.Find(id)->is_excluded);
  EXPECT_EQ(directory_.Find(id)->pod, nullptr);
  // The kernel tells of it again.
  manager_.OnLink(Rtnl::Open().value().FindLink(early.host_interface_index()).value().value(), 0);
  EXPECT_EQ(TapOf(early.host_interface()), nullptr);
  // What a pod is selected by may change, both ways.
  manager_.OnView({.taps = {wanted(early, ""), wanted(old, "")}});
  ASSERT_NE(TapOf(early.host_interface()), nullptr);
  EXPECT_EQ(TapOf(early.host_interface())->pod->pod_name, early.name());
  EXPECT_EQ(TapOf(old.host_interface())->pod->pod_name, old.name());
  const capture::TapId named = TapOf(old.host_interface())->id;
  manager_.OnView({.taps = {wanted(early, ""), wanted(old, "by another")}});
  EXPECT_EQ(TapOf(old.host_interface()), nullptr);
  EXPECT_TRUE(directory_.Find(named)->is_excluded);
  EXPECT_NE(TapOf(early.host_interface()), nullptr);
}

// Else a pod that is watched would lose its tap to one that is not.
TEST_F(TapManagerTest, ThatAPodIsLeftOutIsProvedToo) {
  const PodNetns pod("watched");
  const PodNetns other("left-out");
  WantedTap wrong = Wanted(pod, MakePod(other.name()));
  ChangePod(*wrong.owner, [](Pod& known) { known.excluded_because = "by a rule"; });
  wrong.owner->namespace_id = wrong.namespace_id;
  manager_.OnView({.taps = {Wanted(pod)}});
  manager_.OnView({.taps = {wrong}});
  ASSERT_NE(TapOf(pod.host_interface()), nullptr);
  EXPECT_FALSE(TapOf(pod.host_interface())->is_excluded);
  EXPECT_EQ(Count("owners_refuted"), 1u);
}

// The kernel drops its reports while nobody reads them.
TEST_F(TapManagerTest, AfterAnOverrunEverythingIsTappedAndNamed) {
  std::atomic<bool> reads = true;
  std::atomic<bool> waits = false;
  Watcher::Handlers handlers = Handlers();
  handlers.on_view = [&](const View& view) {
    manager_.OnView(view);
    ++views_;
    if (!reads) {
      waits = true;
      EXPECT_TRUE(WaitUntil([&] { return reads.load(); }, 60));
    }
  };
  const auto watcher = Watcher::Start(std::make_unique<discovery::NetnsSource>(kDirectory),
                                      kDirectory, handlers, {.receive_bytes = 1});
  ASSERT_TRUE(watcher.ok()) << watcher.status();
  ASSERT_TRUE(WaitUntil([&] { return views_ > 0; }));
  PodNetns gone("gone");
  ASSERT_TRUE(WaitForTap(gone.host_interface(), gone.name()));
  reads = false;
  RunCommand("ip link set " + gone.host_interface() + " mtu 1400");
  ASSERT_TRUE(WaitUntil([&] { return waits.load(); }));
  const uint64_t lost_before = Count("link_reports_lost");
  std::vector<std::unique_ptr<PodNetns>> pods;
  for (int i = 0; i < 12; ++i) {
    pods.push_back(std::make_unique<PodNetns>("burst" + std::to_string(i)));
  }
  const std::string gone_interface = gone.host_interface();
  gone.Remove();
  reads = true;
  for (const auto& pod : pods) {
    EXPECT_TRUE(WaitForTap(pod->host_interface(), pod->name())) << pod->name();
  }
  EXPECT_TRUE(WaitUntil([&] { return TapOf(gone_interface) == nullptr; }));
  EXPECT_TRUE(WaitUntil([&] { return Count("link_reports_lost") > lost_before; }));
}

// Namespaces, their ids, inodes and interfaces come and go as fast as the kernel makes them; the
// number in an interface's name says whose it is.
TEST_F(TapManagerTest, NothingIsEverNamedAfterAnotherPod) {
  std::mutex mutex;
  std::map<std::string, int> named;
  std::vector<std::string> wrong;
  Watcher::Handlers handlers = Handlers();
  handlers.on_view = [&](const View& view) {
    manager_.OnView(view);
    TapTable table;
    directory_.CopyTo(table);
    const std::lock_guard lock(mutex);
    for (const auto& [id, entry] : table.taps) {
      const std::string& interface_name = entry.tap->interface_name;
      if (entry.tap->pod == nullptr || !absl::StartsWith(interface_name, "ptn")) {
        continue;
      }
      ++named[interface_name];
      if (!absl::EndsWith(entry.tap->pod->pod_name, interface_name)) {
        wrong.push_back(interface_name + " as " + entry.tap->pod->pod_name);
      }
    }
  };
  const auto watcher =
      Watcher::Start(std::make_unique<discovery::NetnsSource>(kDirectory), kDirectory, handlers);
  ASSERT_TRUE(watcher.ok()) << watcher.status();
  // Two at a time, so that one goes while the other comes.
  RunCommand(
      absl::StrFormat("churn() { for i in $(seq 60); do "
                      "  n=ptn$1x$i; p=pt%d-$n; "
                      "  ip netns add $p && ip link add $n type veth peer name eth0 netns $p; "
                      "  ip link set $n up; ip netns del $p; ip link del $n 2>/dev/null; "
                      "done; }; churn a & churn b; wait; true",
                      ::getpid()));
  const std::lock_guard lock(mutex);
  EXPECT_THAT(wrong, ::testing::IsEmpty());
  // It is no test of anything unless some were named.
  EXPECT_GT(named.size(), 20u);
}

}  // namespace
}  // namespace podtap::testing
