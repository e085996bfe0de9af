// A pod source that lists what a test gives it.
#pragma once

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <utility>

#include "agent/discovery/pod_source.h"
#include "common/unique_fd.h"

namespace podtap::testing {

// Set() may come from any thread.
class FakeSource : public discovery::PodSource {
 public:
  absl::StatusOr<discovery::PodList> List() override {
    uint64_t count = 0;
    [[maybe_unused]] const ssize_t taken = ::read(changed_.get(), &count, sizeof(count));
    const std::lock_guard lock(mutex_);
    return list_;
  }
  bool is_current() const override { return is_current_; }
  int changed_fd() const override { return changed_.get(); }

  // Whether who knows the pods answers; told with the next change.
  void SetCurrent(bool is_current) { is_current_ = is_current; }
  // What is listed from here on, or the failure to list; the change is told.
  void Set(absl::StatusOr<discovery::PodList> list) {
    {
      const std::lock_guard lock(mutex_);
      list_ = std::move(list);
    }
    const uint64_t one = 1;
    ASSERT_EQ(::write(changed_.get(), &one, sizeof(one)), static_cast<ssize_t>(sizeof(one)));
  }

 private:
  const UniqueFd changed_{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  std::atomic<bool> is_current_{true};
  std::mutex mutex_;
  absl::StatusOr<discovery::PodList> list_ = discovery::PodList();
};

}  // namespace podtap::testing
