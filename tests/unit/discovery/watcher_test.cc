#include "agent/discovery/watcher.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "tests/support/fake_source.h"
#include "tests/support/wait.h"

namespace podtap::discovery {
namespace {

using podtap::testing::FakeSource;
using podtap::testing::WaitUntil;

TEST(WatcherTest, LooksAtOnceWhenTheSourceHasOtherPods) {
  auto owned = std::make_unique<FakeSource>();
  FakeSource& source = *owned;
  std::mutex mutex;
  View newest;
  std::atomic<int> looks = 0;
  const auto watcher =
      Watcher::Start(std::move(owned), "/nonexistent", {.on_view = [&](const View& view) {
                       const std::lock_guard lock(mutex);
                       newest = view;
                       ++looks;
                     }});
  ASSERT_TRUE(watcher.ok()) << watcher.status();
  ASSERT_TRUE(WaitUntil([&] { return looks > 0; }));
  const auto begin = std::chrono::steady_clock::now();
  source.Set(PodList{.pods = {{.id = "a", .host_network = true},
                              {.id = "b", .namespace_path = "/nonexistent/b"},
                              {.id = "c"}},
                     .left_out = 5,
                     .cut = 6});
  EXPECT_TRUE(WaitUntil([&] {
    const std::lock_guard lock(mutex);
    return newest.untapped.size() == 3;
  }));
  // Not by the look that comes every few seconds.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
  const std::lock_guard lock(mutex);
  EXPECT_EQ(newest.untapped[0].reason, UntappedPod::Reason::kHostNetwork);
  EXPECT_EQ(newest.untapped[1].reason, UntappedPod::Reason::kNoInterface);
  EXPECT_EQ(newest.untapped[2].reason, UntappedPod::Reason::kNoNamespace);
  EXPECT_EQ(newest.namespaces_left_out, 5u);
  EXPECT_EQ(newest.pods_cut, 6u);
}

TEST(WatcherTest, TellsWhichPodsAreLeftOut) {
  auto owned = std::make_unique<FakeSource>();
  FakeSource& source = *owned;
  std::mutex mutex;
  View newest;
  const auto watcher =
      Watcher::Start(std::move(owned), "/nonexistent",
                     {.on_view =
                          [&](const View& view) {
                            const std::lock_guard lock(mutex);
                            newest = view;
                          }},
                     {.selection = *PodSelection::Make({}, {.labels = {"api-token=x"}})});
  ASSERT_TRUE(watcher.ok()) << watcher.status();
  // By a label that does not leave the node; and by none.
  Pod excluded{.id = "a", .host_network = true};
  excluded.identity.labels = {{"api-token", "x"}};
  source.Set(PodList{.pods = {excluded, {.id = "b", .host_network = true}}});
  ASSERT_TRUE(WaitUntil([&] {
    const std::lock_guard lock(mutex);
    return newest.untapped.size() == 2;
  }));
  {
    const std::lock_guard lock(mutex);
    EXPECT_EQ(newest.untapped[0].reason, UntappedPod::Reason::kExcluded);
    EXPECT_EQ(newest.untapped[0].exclusion, "excluded by --exclude-label api-token=x");
    EXPECT_TRUE(newest.untapped[0].identity.labels.empty());
    EXPECT_EQ(newest.untapped[1].reason, UntappedPod::Reason::kHostNetwork);
  }
  // A label may change while the pod runs.
  excluded.identity.labels = {{"api-token", "y"}};
  source.Set(PodList{.pods = {excluded}});
  EXPECT_TRUE(WaitUntil([&] {
    const std::lock_guard lock(mutex);
    return newest.untapped.size() == 1 &&
           newest.untapped[0].reason == UntappedPod::Reason::kHostNetwork;
  }));
}

TEST(WatcherTest, SaysWhetherTheSourceKnowsAllPods) {
  auto owned = std::make_unique<FakeSource>();
  FakeSource& source = *owned;
  std::atomic<int> looks = 0;
  std::atomic<bool> answered = false;
  const auto watcher =
      Watcher::Start(std::move(owned), "/nonexistent", {.on_view = [&](const View& view) {
                       answered = view.source_answered;
                       ++looks;
                     }});
  ASSERT_TRUE(watcher.ok()) << watcher.status();
  ASSERT_TRUE(WaitUntil([&] { return looks > 0; }));
  EXPECT_TRUE(answered);
  source.SetCurrent(false);
  source.Set(PodList());
  EXPECT_TRUE(WaitUntil([&] { return !answered; }));
  source.SetCurrent(true);
  source.Set(PodList());
  EXPECT_TRUE(WaitUntil([&] { return answered.load(); }));
  source.Set(absl::UnavailableError("gone"));
  EXPECT_TRUE(WaitUntil([&] { return !answered; }));
}

}  // namespace
}  // namespace podtap::discovery
