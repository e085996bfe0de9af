// Time, injected so that tests can set it.
#pragma once

#include <cstdint>
#include <ctime>

namespace podtap {

// Source of time. Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // CLOCK_MONOTONIC, the clock of bpf_ktime_get_ns(), in nanoseconds.
  virtual int64_t MonotonicNs() const = 0;
  // Nanoseconds since the Unix epoch.
  virtual int64_t WallNs() const = 0;
};

// The system's clocks.
class SystemClock : public Clock {
 public:
  int64_t MonotonicNs() const override { return Read(CLOCK_MONOTONIC); }
  int64_t WallNs() const override { return Read(CLOCK_REALTIME); }

 private:
  static int64_t Read(clockid_t id) {
    timespec time;
    ::clock_gettime(id, &time);
    return time.tv_sec * int64_t{1'000'000'000} + time.tv_nsec;
  }
};

}  // namespace podtap
