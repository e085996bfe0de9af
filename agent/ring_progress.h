// How far each ring has been read, in time: what was submitted to any ring before RingProgress's
// least() has been handled.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

namespace podtap {

// Thread-safe; each ring's time is set by its reader alone. Times are monotonic nanoseconds.
class RingProgress {
 public:
  explicit RingProgress(uint32_t rings) : times_(rings) {}

  uint32_t rings() const { return static_cast<uint32_t>(times_.size()); }
  void Set(uint32_t ring, int64_t time_ns) {
    times_[ring].store(time_ns, std::memory_order_release);
  }
  int64_t least() const {
    int64_t least = INT64_MAX;
    for (const std::atomic<int64_t>& time : times_) {
      least = std::min(least, time.load(std::memory_order_acquire));
    }
    return least;
  }

 private:
  std::vector<std::atomic<int64_t>> times_;
};

}  // namespace podtap
