// Durations counted by bucket, for metrics.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace podtap {

// Of what the programs do themselves.
constexpr std::array<int64_t, 14> kWorkBoundsNs = {
    500'000,       1'000'000,     2'500'000,     5'000'000,     10'000'000,
    25'000'000,    50'000'000,    100'000'000,   250'000'000,   500'000'000,
    1'000'000'000, 2'500'000'000, 5'000'000'000, 10'000'000'000};

// Index of the bucket that a value belongs to: a bound belongs to the bucket below it.
constexpr size_t BucketOf(std::span<const int64_t> bounds, int64_t value) {
  size_t bucket = 0;
  while (bucket < bounds.size() && value > bounds[bucket]) {
    ++bucket;
  }
  return bucket;
}

// What a histogram has counted.
struct HistogramValues {
  // Upper bounds, ascending.
  std::span<const int64_t> bounds_ns;
  // One more than there are bounds: the last is of what is above them all. Not cumulative.
  std::vector<uint64_t> counts;
  double sum_seconds = 0;
};

// Thread-safe, and never waits. A reader may see a value's bucket and not yet its sum.
class WorkHistogram {
 public:
  void Observe(int64_t duration_ns) {
    ++counts_[BucketOf(kWorkBoundsNs, duration_ns)];
    sum_ns_ += duration_ns;
  }

  HistogramValues values() const {
    return {kWorkBoundsNs, {counts_.begin(), counts_.end()}, static_cast<double>(sum_ns_) / 1e9};
  }

 private:
  std::array<std::atomic<uint64_t>, kWorkBoundsNs.size() + 1> counts_{};
  std::atomic<int64_t> sum_ns_{0};
};

}  // namespace podtap
