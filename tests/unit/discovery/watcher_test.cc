#include "agent/discovery/watcher.h"

#include <gtest/gtest.h>
#include <sys/eventfd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "tests/support/wait.h"

namespace podtap::discovery {
namespace {

using podtap::testing::WaitUntil;

// Lists what it is given, and says when that is something else.
class FakeSource : public PodSource {
 public:
  absl::StatusOr<PodList> List() override {
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t taken = ::read(changed_.get(), &count, sizeof(count));
    const std::lock_guard lock(mutex_);
    return list_;
  }
  int changed_fd() const override { return changed_.get(); }

  // From any thread.
  void Set(PodList list) {
    {
      const std::lock_guard lock(mutex_);
      list_ = std::move(list);
    }
    const uint64_t one = 1;
    ASSERT_EQ(::write(changed_.get(), &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
  }

 private:
  const UniqueFd changed_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::mutex mutex_;
  PodList list_;
};

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
  source.Set({.pods = {{.id = "a", .host_network = true},
                       {.id = "b", .namespace_path = "/nonexistent/b"},
                       {.id = "c"}},
              .left_out = 5,
              .cut = 6});
  EXPECT_TRUE(WaitUntil([&] {
    const std::lock_guard lock(mutex);
    return newest.pods_host_network == 1;
  }));
  // Not by the look that comes every few seconds.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
  const std::lock_guard lock(mutex);
  EXPECT_EQ(newest.pods_without_interface, 2u);
  EXPECT_EQ(newest.namespaces_left_out, 5u);
  EXPECT_EQ(newest.pods_cut, 6u);
}

}  // namespace
}  // namespace podtap::discovery
