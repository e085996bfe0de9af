// Discovery against the kernel: the collisions that matching by interface index would fall for.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>

#include "absl/strings/str_format.h"
#include "agent/discovery/netns_source.h"
#include "agent/discovery/watcher.h"
#include "common/text.h"
#include "tests/support/fake_source.h"
#include "tests/support/netns.h"
#include "tests/support/pods.h"
#include "tests/support/wait.h"

namespace podtap::testing {
namespace {

using discovery::FindNamespaces;
using discovery::NetnsSource;
using discovery::PodList;
using discovery::Rtnl;
using discovery::View;
using discovery::WantedTap;
using discovery::Watcher;

constexpr char kDirectory[] = "/run/netns";

// Taps wanted for one pod, by the names of their interfaces.
std::vector<std::string> TapsOf(const std::vector<WantedTap>& taps, const std::string& pod) {
  std::vector<std::string> names;
  for (const WantedTap& tap : taps) {
    if (tap.owner && tap.owner->pod->identity.pod_name == pod) {
      names.push_back(tap.interface_name);
    }
  }
  return names;
}

std::vector<WantedTap> LookOnce() {
  absl::StatusOr<Rtnl> rtnl = Rtnl::Open();
  EXPECT_TRUE(rtnl.ok()) << rtnl.status();
  const auto links = rtnl->Links();
  EXPECT_TRUE(links.ok()) << links.status();
  const absl::StatusOr<PodList> list = NetnsSource(kDirectory).List();
  EXPECT_TRUE(list.ok()) << list.status();
  return discovery::PlanTaps(*links, FindNamespaces(discovery::Share(list->pods), *rtnl));
}

TEST(DiscoveryTest, FindsThePodsInterfaceThoughEveryPodsEth0HasTheSameIndex) {
  const PodNetns web("web");
  const PodNetns api("api");
  const std::vector<WantedTap> taps = LookOnce();
  EXPECT_THAT(TapsOf(taps, web.name()), ::testing::ElementsAre(web.host_interface()));
  EXPECT_THAT(TapsOf(taps, api.name()), ::testing::ElementsAre(api.host_interface()));
}

// A process that lives in a namespace until the test is over.
class Resident {
 public:
  explicit Resident(const PodNetns& pod) {
    int ready[2];
    EXPECT_EQ(::pipe(ready), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      const int space = ::open(("/run/netns/" + pod.name()).c_str(), O_RDONLY);
      const bool entered = ::setns(space, CLONE_NEWNET) == 0;
      ::close(space);
      ::close(ready[0]);
      [[maybe_unused]] const ssize_t written = ::write(ready[1], &entered, sizeof(entered));
      ::pause();
      ::_exit(0);
    }
    bool entered = false;
    ::close(ready[1]);
    EXPECT_EQ(::read(ready[0], &entered, sizeof(entered)), static_cast<ssize_t>(sizeof(entered)));
    EXPECT_TRUE(entered);
    ::close(ready[0]);
  }
  ~Resident() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Resident(const Resident&) = delete;
  Resident& operator=(const Resident&) = delete;

  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
};

TEST(DiscoveryTest, APathThroughAProcessCountsOnlyWhileThatProcessLivesThere) {
  const PodNetns web("web");
  const Resident resident(web);
  const auto process = discovery::proc::FindProcess("/proc", resident.pid());
  const auto inode = discovery::proc::NetworkNamespaceOf("/proc", std::to_string(resident.pid()));
  ASSERT_TRUE(process && inode);
  const discovery::Pod right{
      .id = "a",
      .namespace_path = absl::StrFormat("/proc/%d/ns/net", resident.pid()),
      .holder = discovery::NamespaceHolder{.process = *process, .inode = *inode}};
  absl::StatusOr<Rtnl> rtnl = Rtnl::Open();
  ASSERT_TRUE(rtnl.ok() && rtnl->Links().ok());
  const std::vector<discovery::PodNamespace> found =
      FindNamespaces(discovery::Share({right}), *rtnl);
  ASSERT_THAT(found, ::testing::SizeIs(1));
  EXPECT_TRUE(discovery::LeadsTo(web.host_interface_index(), found[0], *rtnl));
  // As after the id was given to another process, or this one moved.
  for (const auto& change : std::vector<std::function<void(discovery::NamespaceHolder&)>>{
           [](auto& holder) { ++holder.process.start_ticks; },
           [](auto& holder) { --holder.process.start_ticks; },
           [](auto& holder) { ++holder.inode; }}) {
    discovery::Pod wrong = right;
    change(*wrong.holder);
    EXPECT_THAT(FindNamespaces(discovery::Share({wrong}), *rtnl), ::testing::IsEmpty());
    discovery::PodNamespace owner = found[0];
    ChangePod(owner, [&](discovery::Pod& pod) { change(*pod.holder); });
    EXPECT_FALSE(discovery::LeadsTo(web.host_interface_index(), owner, *rtnl));
  }
}

// A pair inside a pod whose ends have the indexes of another pod's host interface and its
// neighbour: matching by IFLA_LINK would give the other pod's interface to this one.
TEST(DiscoveryTest, PairInsideAPodNeverLeadsToAnotherPodsInterface) {
  const PodNetns victim("victim");
  const PodNetns pod("inner");
  const uint32_t index = victim.host_interface_index();
  RunCommand(absl::StrFormat(
      "nsenter --net=/run/netns/%s ip link add name in0 index %d type veth peer name in1 index %d",
      pod.name(), index + 1, index));
  const std::vector<WantedTap> taps = LookOnce();
  EXPECT_THAT(TapsOf(taps, pod.name()), ::testing::ElementsAre(pod.host_interface()));
  EXPECT_THAT(TapsOf(taps, victim.name()), ::testing::ElementsAre(victim.host_interface()));
}

TEST(DiscoveryTest, PairBetweenTwoPodsIsNotTheHosts) {
  const PodNetns one("one");
  const PodNetns two("two");
  RunCommand(absl::StrFormat(
      "nsenter --net=/run/netns/%s ip link add direct type veth peer name direct netns %s",
      one.name(), two.name()));
  const std::vector<WantedTap> taps = LookOnce();
  EXPECT_THAT(TapsOf(taps, one.name()), ::testing::ElementsAre(one.host_interface()));
  EXPECT_THAT(TapsOf(taps, two.name()), ::testing::ElementsAre(two.host_interface()));
}

TEST(DiscoveryTest, MacvlanHasNoHostSide) {
  const PodNetns pod("macvlan");
  const PodNetns master("master");
  RunCommand(
      absl::StrFormat("ip link add link %s name mv%s type macvlan mode bridge && "
                      "ip link set mv%s netns %s",
                      master.host_interface(), master.host_interface().substr(2),
                      master.host_interface().substr(2), pod.name()));
  EXPECT_THAT(TapsOf(LookOnce(), pod.name()), ::testing::ElementsAre(pod.host_interface()));
}

// Who makes an interface inside a pod chooses its name; it goes into log lines.
TEST(DiscoveryTest, NamesOfInterfacesArePrintable) {
  const PodNetns pod("names");
  std::vector<std::string> names;
  pod.Inside([&] {
    RunCommand("ip link add \"$(printf 'a\\033[1m\\377')\" type veth peer name other");
    absl::StatusOr<Rtnl> rtnl = Rtnl::Open();
    ASSERT_TRUE(rtnl.ok()) << rtnl.status();
    const absl::StatusOr<std::vector<discovery::Link>> links = rtnl->Links();
    ASSERT_TRUE(links.ok()) << links.status();
    for (const discovery::Link& link : *links) {
      names.push_back(link.name);
    }
  });
  EXPECT_EQ(names.size(), 4u);
  for (const std::string& name : names) {
    EXPECT_EQ(name, SafeText(name));
  }
}

TEST(DiscoveryTest, TwoInterfacesOfOnePod) {
  const PodNetns pod("two-nics");
  const std::string second = pod.host_interface() + "b";
  RunCommand(
      absl::StrFormat("ip link add %s type veth peer name eth1 netns %s", second, pod.name()));
  EXPECT_THAT(TapsOf(LookOnce(), pod.name()),
              ::testing::UnorderedElementsAre(pod.host_interface(), second));
  RunCommand("ip link del " + second);
}

TEST(DiscoveryTest, WhatIsNoNamespaceIsLeftOut) {
  absl::StatusOr<Rtnl> rtnl = Rtnl::Open();
  ASSERT_TRUE(rtnl.ok());
  const std::filesystem::path directory =
      std::filesystem::temp_directory_path() / absl::StrFormat("pt%d", ::getpid());
  std::filesystem::create_directory(directory);
  std::ofstream(directory / "empty-file");
  std::filesystem::create_symlink("/proc/self/ns/net", directory / "own");
  std::filesystem::create_symlink("/proc/self/ns/mnt", directory / "other-kind");
  const absl::StatusOr<PodList> list = NetnsSource(directory.string()).List();
  ASSERT_TRUE(list.ok());
  EXPECT_EQ(list->pods.size(), 3u);
  EXPECT_EQ(list->left_out, 0u);
  EXPECT_THAT(FindNamespaces(discovery::Share(list->pods), *rtnl), ::testing::IsEmpty());
  std::filesystem::remove_all(directory);
  const absl::StatusOr<PodList> missing = NetnsSource(directory.string()).List();
  ASSERT_TRUE(missing.ok());
  EXPECT_THAT(missing->pods, ::testing::IsEmpty());
}

TEST(DiscoveryTest, NamesBeyondTheBoundAreCounted) {
  const std::filesystem::path directory =
      std::filesystem::temp_directory_path() / absl::StrFormat("pt%d-many", ::getpid());
  std::filesystem::create_directory(directory);
  for (int i = 0; i < 4096 + 3; ++i) {
    std::ofstream(directory / std::to_string(i));
  }
  const absl::StatusOr<PodList> list = NetnsSource(directory.string()).List();
  std::filesystem::remove_all(directory);
  ASSERT_TRUE(list.ok());
  EXPECT_EQ(list->left_out, 3u);
}

TEST(DiscoveryTest, LookingHoldsNoNamespaceOpen) {
  PodNetns pod("held");
  LookOnce();
  const std::string host_interface = pod.host_interface();
  // Without deleting the interface: it goes when its namespace does.
  RunCommand("ip netns del " + pod.name());
  EXPECT_EQ(::system(absl::StrFormat("for i in $(seq 300); do test -e /sys/class/net/%s || exit 0; "
                                     "sleep 0.01; done; exit 1",
                                     host_interface)
                         .c_str()),
            0);
  pod.Forget();
}

absl::StatusOr<std::unique_ptr<Watcher>> Watch(std::function<void(const View&)> on_view) {
  return Watcher::Start(std::make_unique<NetnsSource>(kDirectory), kDirectory,
                        {.on_view = std::move(on_view)});
}

// The newest view, and waiting for one.
class Views {
 public:
  void Put(const View& view) {
    const std::lock_guard lock(mutex_);
    view_ = view;
    changed_.notify_all();
  }
  bool WaitFor(const std::function<bool(const View&)>& condition) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return condition(view_); });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  View view_;
};

TEST(WatcherTest, ReportsPodsThatComeAndGoWithinAMoment) {
  Views views;
  const auto watcher = Watch([&](const View& view) { views.Put(view); });
  ASSERT_TRUE(watcher.ok()) << watcher.status();
  PodNetns pod("comes");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(
      views.WaitFor([&](const View& view) { return TapsOf(view.taps, pod.name()).size() == 1; }));
  pod.Remove();
  EXPECT_TRUE(
      views.WaitFor([&](const View& view) { return TapsOf(view.taps, pod.name()).empty(); }));
  // By events, and not by the look that comes every few seconds.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
}

// Nothing under /run/netns changes here: only the kernel tells of the new interface.
TEST(WatcherTest, ReportsAnInterfaceAddedToAPod) {
  PodNetns pod("grows");
  Views views;
  const auto watcher = Watch([&](const View& view) { views.Put(view); });
  ASSERT_TRUE(watcher.ok()) << watcher.status();
  ASSERT_TRUE(
      views.WaitFor([&](const View& view) { return TapsOf(view.taps, pod.name()).size() == 1; }));
  const auto begin = std::chrono::steady_clock::now();
  const std::string second = pod.host_interface() + "b";
  RunCommand(
      absl::StrFormat("ip link add %s type veth peer name eth1 netns %s", second, pod.name()));
  EXPECT_TRUE(
      views.WaitFor([&](const View& view) { return TapsOf(view.taps, pod.name()).size() == 2; }));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(3));
  RunCommand("ip link del " + second);
}

// Lists other pods without a word.
class SilentSource : public FakeSource {
 public:
  int changed_fd() const override { return -1; }
};

// Also when nothing has happened for so long that looks take over what they knew.
TEST(WatcherTest, NamespacesOfOtherPodsAreAskedForInTheNextLook) {
  const PodNetns pod("silent");
  std::mutex mutex;
  std::chrono::steady_clock::time_point looked;
  bool is_quiet = false;
  bool is_found = false;
  auto source = std::make_unique<SilentSource>();
  FakeSource* const pods = source.get();
  const auto watcher = Watcher::Start(
      std::move(source), "/nonexistent", {.on_view = [&](const View& view) {
        const std::lock_guard lock(mutex);
        const auto now = std::chrono::steady_clock::now();
        is_quiet = looked.time_since_epoch().count() > 0 && now - looked > std::chrono::seconds(4);
        looked = now;
        is_found = view.pods.size() == 1 && view.pods[0].pod->id == pod.name();
      }});
  ASSERT_TRUE(watcher.ok()) << watcher.status();
  const auto is = [&](const bool& what) {
    const std::lock_guard lock(mutex);
    return what;
  };
  ASSERT_TRUE(WaitUntil([&] { return is(is_quiet); }, 40));
  EXPECT_FALSE(is(is_found));
  pods->Set(PodList{.pods = {MakePod(pod.name())}});
  EXPECT_TRUE(WaitUntil([&] { return is(is_found); }));
}

// What is told of an interface whose pod is known is no reason to ask for it again.
TEST(WatcherTest, AsksForOwnersOfFreshInterfacesOnly) {
  const PodNetns pod("owned");
  Views views;
  std::mutex mutex;
  std::vector<std::string> links;
  std::vector<std::string> asked;
  const auto watcher = Watcher::Start(std::make_unique<NetnsSource>(kDirectory), kDirectory,
                                      {.on_view = [&](const View& view) { views.Put(view); },
                                       .on_link =
                                           [&](const discovery::Link& link, int64_t) {
                                             const std::lock_guard lock(mutex);
                                             links.push_back(link.name);
                                           },
                                       .on_owners =
                                           [&](const std::vector<WantedTap>& taps) {
                                             const std::lock_guard lock(mutex);
                                             for (const WantedTap& tap : taps) {
                                               asked.push_back(tap.interface_name);
                                             }
                                           }});
  ASSERT_TRUE(watcher.ok()) << watcher.status();
  ASSERT_TRUE(
      views.WaitFor([&](const View& view) { return TapsOf(view.taps, pod.name()).size() == 1; }));
  RunCommand("ip link set " + pod.host_interface() + " mtu 1400");
  ASSERT_TRUE(WaitUntil([&] {
    const std::lock_guard lock(mutex);
    return std::ranges::count(links, pod.host_interface()) > 0;
  }));
  // Another name is another interface, as far as anybody can tell.
  const std::string renamed = pod.host_interface() + "r";
  RunCommand(absl::StrFormat("ip link set %s down && ip link set %s name %s", pod.host_interface(),
                             pod.host_interface(), renamed));
  EXPECT_TRUE(WaitUntil([&] {
    const std::lock_guard lock(mutex);
    return std::ranges::count(asked, renamed) > 0;
  }));
  const std::lock_guard lock(mutex);
  EXPECT_EQ(std::ranges::count(asked, pod.host_interface()), 0);
  RunCommand(absl::StrFormat("ip link set %s name %s", renamed, pod.host_interface()));
}

TEST(LinkEventsTest, CountsReportsThatWereLost) {
  absl::StatusOr<discovery::LinkEvents> events = discovery::LinkEvents::Open(1);
  ASSERT_TRUE(events.ok()) << events.status();
  const PodNetns pod("burst");
  for (int i = 0; i < 20; ++i) {
    RunCommand(absl::StrFormat("ip link set %s mtu %d", pod.host_interface(), 1400 + i));
  }
  const discovery::LinkChangeHandlers handlers{.on_link = [](const discovery::Link&) {},
                                               .on_namespace_gone = [](int32_t) {}};
  EXPECT_TRUE(events->Drain(handlers));
  EXPECT_GE(events->overruns(), 1u);
  EXPECT_FALSE(events->Drain(handlers));
  // It goes on as before.
  RunCommand(absl::StrFormat("ip link set %s mtu 1500", pod.host_interface()));
  EXPECT_TRUE(events->Drain(handlers));
}

TEST(WatcherTest, KnowsTheNodesAddresses) {
  Views views;
  PodNetns pod("addresses");
  pod.AddAddresses("10.98.7.1/24", "10.98.7.2/24");
  const auto watcher = Watch([&](const View& view) { views.Put(view); });
  ASSERT_TRUE(watcher.ok()) << watcher.status();
  EXPECT_TRUE(views.WaitFor([](const View& view) {
    return std::ranges::count(view.node_addresses, *IpAddress::Parse("10.98.7.1")) == 1;
  }));
}

}  // namespace
}  // namespace podtap::testing
