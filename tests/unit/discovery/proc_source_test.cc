#include "agent/discovery/proc/proc_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/discovery/fake_proc.h"

namespace podtap::discovery::proc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

const std::string kId(64, 'c');
constexpr int64_t kSecond = 1'000'000'000;

class FakeClock : public Clock {
 public:
  int64_t MonotonicNs() const override { return now_ns; }
  int64_t WallNs() const override { return now_ns; }
  int64_t now_ns = 100 * kSecond;
};

class ProcSourceTest : public ::testing::Test {
 protected:
  PodList List() {
    absl::StatusOr<PodList> list = source_.List();
    EXPECT_TRUE(list.ok()) << list.status();
    return *std::move(list);
  }
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    for (const Pod& pod : List().pods) {
      names.push_back(pod.identity.namespace_name + "/" + pod.identity.pod_name);
    }
    return names;
  }
  Pod Only() {
    const PodList list = List();
    EXPECT_THAT(list.pods, SizeIs(1));
    return list.pods.empty() ? Pod() : list.pods[0];
  }
  // Until all processes are looked at again.
  void Wait() { clock_.now_ns += 5 * kSecond; }
  void WaitUntilOld() { clock_.now_ns += 60 * kSecond; }

  FakeProc proc_;
  FakeClock clock_;
  ProcSource source_{clock_, {.root = proc_.path(), .max_processes = 20, .max_namespaces = 4}};
};

TEST_F(ProcSourceTest, ListsEachNamespaceButTheHostsOnce) {
  EXPECT_THAT(Names(), IsEmpty());
  proc_.Put("20", {.inode = 7, .start_ticks = 5, .command = "httpd"});
  proc_.Put("21", {.inode = 7, .start_ticks = 6, .command = "worker"});
  proc_.Put("30", {.inode = 8, .start_ticks = 9, .cgroup = "0::/docker/" + kId + "\n"});
  EXPECT_THAT(Names(), UnorderedElementsAre("process/httpd", "docker/cccccccccccc"));
  const Pod pod = List().pods[0];
  EXPECT_EQ(pod.namespace_path, proc_.path() + "/20/ns/net");
  ASSERT_TRUE(pod.holder);
  EXPECT_EQ(*pod.holder, (NamespaceHolder{.process = {.pid = 20, .start_ticks = 5}, .inode = 7}));
  EXPECT_FALSE(pod.host_network);
}

TEST_F(ProcSourceTest, TheOldestNamesANamespaceWhateverItsNumber) {
  proc_.Put("20", {.inode = 7, .start_ticks = 6, .command = "worker"});
  proc_.Put("31", {.inode = 7, .start_ticks = 5, .command = "httpd"});
  EXPECT_THAT(Names(), ElementsAre("process/httpd"));
}

TEST_F(ProcSourceTest, APodOutlivesTheProcessThatNamedIt) {
  proc_.Put("20", {.inode = 7, .start_ticks = 5, .command = "httpd"});
  proc_.Put("21", {.inode = 7, .start_ticks = 6, .command = "worker"});
  const Pod before = Only();
  proc_.Remove("20");
  const Pod after = Only();
  EXPECT_EQ(after.id, before.id);
  EXPECT_EQ(after.identity, before.identity);
  EXPECT_EQ(after.holder->process, (ProcessId{.pid = 21, .start_ticks = 6}));
  proc_.Remove("21");
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(ProcSourceTest, APodOutlivesItsNamerWhoseNumberIsAnothersNow) {
  proc_.Put("20", {.inode = 7, .start_ticks = 5, .command = "httpd"});
  proc_.Put("21", {.inode = 7, .start_ticks = 6, .command = "worker"});
  const Pod before = Only();
  proc_.Put("20", {.inode = FakeProc::kHost, .start_ticks = 9, .command = "stranger"});
  const Pod after = Only();
  EXPECT_EQ(after.id, before.id);
  EXPECT_EQ(after.identity.pod_name, "httpd");
  EXPECT_EQ(after.holder->process.pid, 21);
}

TEST_F(ProcSourceTest, AReusedProcessIdInAReusedNamespaceIsAnotherPod) {
  proc_.Put("20", {.inode = 7, .start_ticks = 5, .command = "httpd"});
  const Pod before = Only();
  proc_.Put("20", {.inode = 7, .start_ticks = 8, .command = "stranger"});
  // Nothing proves the first name any more.
  for (const std::string& name : Names()) {
    EXPECT_NE(name, "process/httpd");
  }
  const Pod after = Only();
  EXPECT_EQ(after.identity.pod_name, "stranger");
  EXPECT_NE(after.id, before.id);
  EXPECT_EQ(after.holder->process.start_ticks, 8U);
}

TEST_F(ProcSourceTest, ANamespaceWithNoneOfItsFormerProcessesIsAnotherPod) {
  proc_.Put("20", {.inode = 7, .start_ticks = 5, .command = "httpd"});
  const Pod before = Only();
  proc_.Remove("20");
  proc_.Put("33", {.inode = 7, .start_ticks = 6, .command = "other"});
  const Pod after = Only();
  EXPECT_EQ(after.identity.pod_name, "other");
  EXPECT_NE(after.id, before.id);
}

TEST_F(ProcSourceTest, AYoungProcessThatMovesOrChangesItsProgramIsFollowed) {
  proc_.Put("20", {.inode = FakeProc::kHost, .start_ticks = 5, .command = "unshare"});
  EXPECT_THAT(Names(), IsEmpty());
  proc_.Put("20", {.inode = 7, .start_ticks = 5, .command = "unshare"});
  const Pod before = Only();
  EXPECT_EQ(before.identity.pod_name, "unshare");
  proc_.Put("20", {.inode = 7, .start_ticks = 5, .command = "httpd"});
  EXPECT_EQ(Only().identity.pod_name, "httpd");
  proc_.Put("20", {.inode = 7, .start_ticks = 5, .cgroup = "0::/docker/" + kId + "\n"});
  EXPECT_EQ(Only().identity.namespace_name, "docker");
  EXPECT_EQ(Only().id, before.id);
  // The container's process may call itself what it likes.
  proc_.Put("20", {.inode = 7, .start_ticks = 5, .command = "x"});
  EXPECT_EQ(Only().identity.pod_name, "cccccccccccc");
}

TEST_F(ProcSourceTest, AnOldProcessKeepsItsNameAndIsLookedAtSeldom) {
  proc_.Put("20", {.inode = 7, .start_ticks = 5, .command = "httpd"});
  proc_.Put("30", {.inode = FakeProc::kHost, .start_ticks = 5});
  EXPECT_THAT(Names(), ElementsAre("process/httpd"));
  WaitUntilOld();
  EXPECT_THAT(Names(), ElementsAre("process/httpd"));
  proc_.Put("20", {.inode = 7, .start_ticks = 5, .command = "renamed"});
  proc_.Put("30", {.inode = 8, .start_ticks = 5, .command = "moved"});
  EXPECT_THAT(Names(), ElementsAre("process/httpd"));
  Wait();
  EXPECT_THAT(Names(), UnorderedElementsAre("process/httpd", "process/moved"));
}

TEST_F(ProcSourceTest, AProcessThatLeavesItsNamespaceTakesThePodAway) {
  proc_.Put("20", {.inode = 7, .start_ticks = 5});
  EXPECT_THAT(List().pods, SizeIs(1));
  WaitUntilOld();
  EXPECT_THAT(List().pods, SizeIs(1));
  proc_.Put("20", {.inode = FakeProc::kHost, .start_ticks = 5});
  EXPECT_THAT(List().pods, IsEmpty());
}

TEST_F(ProcSourceTest, BoundsAreKeptAndCounted) {
  for (int i = 0; i < 5; ++i) {
    proc_.Put(std::to_string(100 + i), {.inode = 7U + static_cast<uint64_t>(i)});
  }
  PodList list = List();
  EXPECT_THAT(list.pods, SizeIs(4));
  EXPECT_EQ(list.left_out, 1U);
  for (int i = 0; i < 20; ++i) {
    proc_.Put(std::to_string(200 + i), {.inode = FakeProc::kHost});
  }
  list = List();
  EXPECT_THAT(list.pods, SizeIs(4));
  // 26 processes and five namespaces.
  EXPECT_EQ(list.left_out, 6U + 1U);
}

TEST_F(ProcSourceTest, WhatCanNotBeReadIsLeftAlone) {
  proc_.Put("20", {.inode = 7, .start_ticks = 5});
  proc_.Hide("20");
  proc_.Put("21", {.inode = 8});
  std::ofstream(proc_.path() + "/21/stat") << "21 (a) b) S";
  proc_.Put("22", {.inode = 9});
  std::filesystem::remove(proc_.path() + "/22/ns/net");
  std::filesystem::create_symlink("net:[x]", proc_.path() + "/22/ns/net");
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(ProcSourceTest, NamesAreMadeFitToLeave) {
  proc_.Put("20", {.inode = 7, .command = "a) b\x1b[31m\xff"});
  EXPECT_THAT(Names(), ElementsAre("process/a) b%1B[31m%FF"));
}

TEST_F(ProcSourceTest, SaysWhatIsMissingToLookAtOthers) {
  const std::string status = proc_.path() + "/self/status";
  std::ofstream(status) << "Name:\ta\nCapEff:\t00000000000a2000\nSeccomp:\t0\n";
  EXPECT_TRUE(CheckAccess(proc_.path()).ok());
  std::ofstream(status) << "Name:\ta\nCapEff:\t0000000000002000\nSeccomp:\t0\n";
  const absl::Status refused = CheckAccess(proc_.path());
  EXPECT_TRUE(absl::IsPermissionDenied(refused));
  EXPECT_NE(std::string(refused.message()).find("CAP_SYS_PTRACE is missing"), std::string::npos);
  std::ofstream(status) << "CapEff";
  EXPECT_TRUE(absl::IsUnavailable(CheckAccess(proc_.path())));
}

TEST_F(ProcSourceTest, WithoutProcThereIsAnError) {
  ProcSource source(clock_, {.root = proc_.path() + "/nothing"});
  EXPECT_FALSE(source.List().ok());
}

}  // namespace
}  // namespace podtap::discovery::proc
