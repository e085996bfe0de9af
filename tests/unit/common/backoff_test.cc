#include "common/backoff.h"

#include <gtest/gtest.h>

namespace podtap {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

TEST(Backoff, DoublesUpToTheMaximum) {
  Backoff backoff({}, [] { return 0.999999; });
  for (const int64_t bound : {1, 2, 4, 8, 16, 30, 30}) {
    const int64_t delay = backoff.NextDelayNs();
    EXPECT_LE(delay, bound * kSecond);
    EXPECT_GT(delay, bound * kSecond - kSecond / 100);
  }
  backoff.Reset();
  EXPECT_LE(backoff.NextDelayNs(), kSecond);
  backoff.SetToMax();
  EXPECT_GT(backoff.NextDelayNs(), 29 * kSecond);
}

TEST(Backoff, DrawsFromTheWholeRange) {
  double random = 0.0;
  Backoff backoff({.first_ns = 100, .max_ns = 100}, [&] { return random; });
  EXPECT_EQ(backoff.NextDelayNs(), 0);
  random = 0.5;
  EXPECT_EQ(backoff.NextDelayNs(), 50);
}

}  // namespace
}  // namespace podtap
