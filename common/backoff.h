// How long to wait before trying again: exponential with full jitter, so that agents whose
// collector comes back do not all arrive at once.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

namespace podtap {

struct BackoffLimits {
  // Upper bound of the first delay.
  int64_t first_ns = 1'000'000'000;
  // Upper bound of every delay.
  int64_t max_ns = int64_t{30} * 1'000'000'000;
};

// Not thread-safe.
class Backoff {
 public:
  // `random` gives numbers in [0, 1).
  Backoff(const BackoffLimits& limits, std::function<double()> random)
      : limits_(limits), bound_ns_(limits.first_ns), random_(std::move(random)) {}

  // The next delay; the bound of the one after is twice as high.
  int64_t NextDelayNs();
  // After a success.
  void Reset() { bound_ns_ = limits_.first_ns; }
  // The next delay is drawn from the whole range.
  void SetToMax() { bound_ns_ = limits_.max_ns; }

 private:
  const BackoffLimits limits_;
  int64_t bound_ns_;
  const std::function<double()> random_;
};

}  // namespace podtap
