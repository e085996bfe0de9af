// A pod source that lists what a test gives it.
#pragma once

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

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
  int changed_fd() const override { return changed_.get(); }

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
  std::mutex mutex_;
  absl::StatusOr<discovery::PodList> list_ = discovery::PodList();
};

}  // namespace podtap::testing
