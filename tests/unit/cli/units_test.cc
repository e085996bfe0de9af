#include "common/units.h"

#include "gtest/gtest.h"

namespace podtap {
namespace {

constexpr int64_t kSecondNs = 1'000'000'000;

TEST(ParseDurationNs, TakesOneUnit) {
  EXPECT_EQ(*ParseDurationNs("--x", "90s"), 90 * kSecondNs);
  EXPECT_EQ(*ParseDurationNs("--x", "5m"), 300 * kSecondNs);
  EXPECT_EQ(*ParseDurationNs("--x", "24h"), 86'400 * kSecondNs);
  EXPECT_EQ(*ParseDurationNs("--x", "7d"), 7 * 86'400 * kSecondNs);
  EXPECT_EQ(*ParseDurationNs("--x", "36500d"), int64_t{36'500} * 86'400 * kSecondNs);
}

TEST(ParseDurationNs, RefusesEverythingElse) {
  for (const char* text : {"", "5", "s", "-5s", "5x", "5S", "1.5h", "1h30m", " 5s", "5 s", "0s",
                           "36501d", "99999999999999999999s"}) {
    EXPECT_FALSE(ParseDurationNs("--x", text).ok()) << text;
  }
  EXPECT_EQ(ParseDurationNs("--x", "5x").status().message(),
            "--x: \"5x\" is not a duration like 90s, 5m, 24h or 7d");
}

TEST(ParseSizeBytes, TakesPlainNumbersAndBinaryUnits) {
  EXPECT_EQ(*ParseSizeBytes("--x", "1048576"), 1u << 20);
  EXPECT_EQ(*ParseSizeBytes("--x", "3KiB"), 3u << 10);
  EXPECT_EQ(*ParseSizeBytes("--x", "512MiB"), 512u << 20);
  EXPECT_EQ(*ParseSizeBytes("--x", "8GiB"), uint64_t{8} << 30);
  EXPECT_EQ(*ParseSizeBytes("--x", "1TiB"), uint64_t{1} << 40);
}

TEST(ParseSizeBytes, RefusesEverythingElse) {
  for (const char* text : {"", "0", "-1", "1GB", "1G", "1gib", "MiB", "1.5GiB", "99999999TiB",
                           "99999999999999999999"}) {
    EXPECT_FALSE(ParseSizeBytes("--x", text).ok()) << text;
  }
}

}  // namespace
}  // namespace podtap
