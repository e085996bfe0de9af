#include "agent/discovery/cri/cri_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>

#include "agent/discovery/auto_source.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait.h"
#include "tests/unit/discovery/fake_proc.h"
#include "tests/unit/discovery/fake_runtime.h"

namespace podtap::discovery::cri {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::WaitUntil;

class CriSourceTest : public ::testing::Test {
 protected:
  std::string Socket(const std::string& name = "runtime") const {
    return directory_.path() + "/" + name + ".sock";
  }

  std::unique_ptr<CriSource> Start(std::vector<std::string> sockets = {}) {
    CriSourceOptions options{.socket_paths = std::move(sockets)};
    if (options.socket_paths.empty()) {
      options.socket_paths = {Socket()};
    }
    options.calls = {.list_deadline = std::chrono::milliseconds(200),
                     .status_deadline = std::chrono::milliseconds(100)};
    options.lister.first_retry = std::chrono::milliseconds(1);
    options.lister.last_retry = std::chrono::milliseconds(100);
    options.backoff = {.first_ns = 1'000'000, .max_ns = 50'000'000};
    auto source = CriSource::Start(std::move(options));
    EXPECT_TRUE(source.ok()) << source.status();
    return *std::move(source);
  }

  // Ids of the pods listed now.
  static std::vector<std::string> Ids(PodSource& source) {
    std::vector<std::string> ids;
    const absl::StatusOr<PodList> list = source.List();
    for (const Pod& pod : list->pods) {
      ids.push_back(pod.id);
    }
    return ids;
  }

  // Asks again and again, as the watcher does, until the pods are these.
  static bool WaitForPods(PodSource& source, const std::vector<std::string>& ids) {
    return WaitUntil([&] {
      source.Refresh();
      return Ids(source) == ids;
    });
  }

  // Asks until the runtime has been found not to answer.
  static bool WaitUntilAway(PodSource& source) {
    return WaitUntil([&] {
      source.Refresh();
      return !source.is_current();
    });
  }

  TempDir directory_;
};

TEST_F(CriSourceTest, ListsPodsWithTheirNamespaces) {
  FakeRuntime runtime(Socket());
  runtime.AddPod("a", "/run/netns/a");
  runtime.AddPod("b", "");
  runtime.Edit([](auto& pods, auto&, runtime::v1::ListContainersResponse& containers) {
    (*pods["a"].mutable_labels())["app"] = "web";
    runtime::v1::Container& container = *containers.add_containers();
    container.set_pod_sandbox_id("a");
    container.mutable_metadata()->set_name("main");
    container.set_state(runtime::v1::CONTAINER_RUNNING);
  });
  const auto source = Start();
  // It tells by itself that there is something.
  pollfd changed{.fd = source->changed_fd(), .events = POLLIN};
  ASSERT_EQ(::poll(&changed, 1, 10'000), 1);
  ASSERT_TRUE(WaitUntil([&] { return Ids(*source).size() == 2; }));
  const PodList list = *source->List();
  EXPECT_EQ(list.pods[0].identity.namespace_name, "shop");
  EXPECT_EQ(list.pods[0].identity.pod_name, "pod-a");
  EXPECT_EQ(list.pods[0].identity.labels.at("app"), "web");
  EXPECT_THAT(list.pods[0].identity.containers, SizeIs(1));
  EXPECT_EQ(list.pods[0].namespace_path, "/run/netns/a");
  EXPECT_FALSE(list.pods[0].host_network);
  EXPECT_EQ(list.pods[1].namespace_path, "");
  EXPECT_TRUE(list.pods[1].host_network);
  // Listing takes back what was told.
  ASSERT_TRUE(WaitUntil([&] { return source->List().ok() && ::poll(&changed, 1, 0) == 0; }));
  runtime.AddPod("c", "/run/netns/c");
  source->Refresh();
  EXPECT_TRUE(
      WaitUntil([&] { return ::poll(&changed, 1, 1'000) == 1 && Ids(*source).size() == 3; }));
}

TEST_F(CriSourceTest, AsksForAPodsNamespaceOnce) {
  FakeRuntime runtime(Socket());
  runtime.AddPod("a", "/run/netns/a");
  const auto source = Start();
  ASSERT_TRUE(WaitForPods(*source, {"a"}));
  const int lists = runtime.lists();
  ASSERT_TRUE(WaitUntil([&] {
    source->Refresh();
    return runtime.lists() > lists + 3;
  }));
  EXPECT_EQ(runtime.questions(), 1);
  runtime.RemovePod("a");
  EXPECT_TRUE(WaitForPods(*source, {}));
}

TEST_F(CriSourceTest, PodsStayWhileTheRuntimeIsAway) {
  std::optional<FakeRuntime> runtime(std::in_place, Socket());
  runtime->AddPod("a", "/run/netns/a");
  const auto source = Start();
  ASSERT_TRUE(WaitForPods(*source, {"a"}));

  // Hung: it takes calls and answers none.
  runtime->SetHung(true);
  const int lists = runtime->lists();
  ASSERT_TRUE(WaitUntil([&] {
    source->Refresh();
    return runtime->lists() > lists + 2;
  }));
  EXPECT_THAT(Ids(*source), ElementsAre("a"));
  runtime->SetHung(false);
  runtime->AddPod("b", "/run/netns/b");
  ASSERT_TRUE(WaitForPods(*source, {"a", "b"}));

  // Gone, and back with other pods.
  runtime.reset();
  std::filesystem::remove(Socket());
  ASSERT_TRUE(WaitUntilAway(*source));
  EXPECT_THAT(Ids(*source), ElementsAre("a", "b"));
  runtime.emplace(Socket());
  runtime->AddPod("b", "/run/netns/b");
  runtime->AddPod("c", "/run/netns/c");
  EXPECT_TRUE(WaitForPods(*source, {"b", "c"}));
}

TEST_F(CriSourceTest, AnErrorTakesNoPodAway) {
  FakeRuntime runtime(Socket());
  runtime.AddPod("a", "/run/netns/a");
  const auto source = Start();
  ASSERT_TRUE(WaitForPods(*source, {"a"}));
  for (const auto code : {grpc::StatusCode::INTERNAL, grpc::StatusCode::CANCELLED,
                          grpc::StatusCode::UNAVAILABLE, grpc::StatusCode::UNIMPLEMENTED}) {
    runtime.RemovePod("a");
    runtime.SetListStatus({code, "no\x1b\xff"});
    const int lists = runtime.lists();
    ASSERT_TRUE(WaitUntil([&] {
      source->Refresh();
      return runtime.lists() > lists + 1;
    }));
    EXPECT_THAT(Ids(*source), ElementsAre("a"));
    runtime.SetListStatus(grpc::Status::OK);
    EXPECT_TRUE(WaitForPods(*source, {}));
    runtime.AddPod("a", "/run/netns/a");
    ASSERT_TRUE(WaitForPods(*source, {"a"}));
  }
}

TEST_F(CriSourceTest, OneStuckPodKeepsNoOtherFromItsName) {
  FakeRuntime runtime(Socket());
  runtime.AddPod("a", "/run/netns/a");
  runtime.AddPod("b", "/run/netns/b");
  runtime.SetStuckPod("a");
  const auto source = Start();
  const auto path = [&](size_t index) {
    source->Refresh();
    const PodList list = *source->List();
    return list.pods.size() == 2 ? list.pods[index].namespace_path : "";
  };
  EXPECT_TRUE(WaitUntil([&] { return path(1) == "/run/netns/b"; }));
  EXPECT_EQ(path(0), "");
  runtime.SetStuckPod("");
  EXPECT_TRUE(WaitUntil([&] { return path(0) == "/run/netns/a"; }));
}

TEST_F(CriSourceTest, GarbageIsBoundedAndHurtsNobody) {
  FakeRuntime runtime(Socket());
  runtime.AddPod("good", "/run/netns/good");
  runtime.Edit([](auto& pods, auto& statuses, runtime::v1::ListContainersResponse& containers) {
    // Without an id, with one far too long, without anything else, not ready.
    pods["x"].mutable_metadata()->set_name("\xff\xfe");
    pods["y"].set_id(std::string(100'000, 'y'));
    pods["z"].set_id("z");
    pods["n"].set_id("n");
    pods["n"].set_state(runtime::v1::SANDBOX_NOTREADY);
    (*statuses["z"].mutable_info())["info"] = std::string(200'000, '[');
    for (int i = 0; i < 1000; ++i) {
      containers.add_containers()->set_pod_sandbox_id(i % 2 == 0 ? "good" : "nobody");
    }
  });
  const auto source = Start();
  ASSERT_TRUE(WaitForPods(*source, {"good", "z"}));
  const PodList list = *source->List();
  EXPECT_EQ(list.left_out, 2u);
  EXPECT_EQ(list.pods[1].namespace_path, "");

  // A list beyond the bound is not taken, and the runtime is asked again.
  runtime.Edit([](auto& pods, auto&, auto&) {
    (*pods["good"].mutable_annotations())["much"] = std::string(17 << 20, 'x');
  });
  const int lists = runtime.lists();
  ASSERT_TRUE(WaitUntil([&] {
    source->Refresh();
    return runtime.lists() > lists + 1;
  }));
  EXPECT_THAT(Ids(*source), ElementsAre("good", "z"));
}

TEST_F(CriSourceTest, PodsBeyondTheBoundAreCounted) {
  FakeRuntime runtime(Socket());
  for (int i = 0; i < 4096 + 3; ++i) {
    runtime.AddPod(std::to_string(i), "");
  }
  const auto source = Start();
  ASSERT_TRUE(WaitUntil([&] { return source->List()->pods.size() == 4096; }));
  EXPECT_EQ(source->List()->left_out, 3u);
}

TEST_F(CriSourceTest, TheFirstSocketWithPodsIsTheRuntime) {
  std::ofstream(Socket("file"));
  FakeRuntime empty(Socket("empty"));
  FakeRuntime full(Socket("full"));
  const auto source = Start({Socket("none"), Socket("file"), Socket("empty"), Socket("full")});
  ASSERT_TRUE(WaitUntil([&] { return source->has_answered(); }));
  EXPECT_THAT(Ids(*source), IsEmpty());
  full.AddPod("a", "/run/netns/a");
  ASSERT_TRUE(WaitForPods(*source, {"a"}));
  // From here on no other is asked.
  empty.AddPod("b", "/run/netns/b");
  full.RemovePod("a");
  EXPECT_TRUE(WaitForPods(*source, {}));
}

TEST_F(CriSourceTest, StopsAtOnceWhileTheRuntimeHangs) {
  FakeRuntime runtime(Socket());
  runtime.SetHung(true);
  CriSourceOptions options{.socket_paths = {Socket()}};
  options.calls.list_deadline = std::chrono::seconds(60);
  auto source = CriSource::Start(std::move(options));
  ASSERT_TRUE(source.ok());
  ASSERT_TRUE(WaitUntil([&] { return runtime.lists() == 1; }));
  const auto begin = std::chrono::steady_clock::now();
  source->reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST_F(CriSourceTest, AutoListsNamespacesOnceTheOneWithANameFirst) {
  // Two namespaces with a name, which are files here.
  const std::string names = directory_.path() + "/names";
  std::filesystem::create_directory(names);
  std::ofstream(names + "/web");
  struct stat web {};
  ASSERT_EQ(::stat((names + "/web").c_str(), &web), 0);
  proc::FakeProc processes;
  processes.Put("20", {.inode = web.st_ino, .command = "httpd"});
  processes.Put("30", {.inode = web.st_ino + 1'000'000, .command = "other"});
  const SystemClock clock;
  AutoSource source(
      Start(), NetnsSource(names),
      std::make_unique<proc::ProcSource>(clock, proc::ProcSourceOptions{.root = processes.path()}));
  EXPECT_TRUE(WaitUntil([&] {
    const absl::StatusOr<PodList> list = source.List();
    return list.ok() && list->pods.size() == 2 && list->pods[0].identity.pod_name == "web" &&
           list->pods[1].identity.pod_name == "other";
  }));
}

TEST_F(CriSourceTest, AutoTakesNamedNamespacesUntilARuntimeAnswers) {
  std::ofstream(directory_.path() + "/web");
  AutoSource source(Start(), NetnsSource(directory_.path()), absl::PermissionDeniedError("no"));
  ASSERT_TRUE(WaitUntil([&] { return Ids(source) == std::vector<std::string>{"web"}; }));
  {
    FakeRuntime runtime(Socket());
    runtime.AddPod("a", "/run/netns/a");
    EXPECT_TRUE(WaitForPods(source, {"a"}));
  }
  // Its word stays, also while it is away.
  ASSERT_TRUE(WaitUntilAway(source));
  EXPECT_THAT(Ids(source), ElementsAre("a"));
}

}  // namespace
}  // namespace podtap::discovery::cri
