#include "agent/discovery/look_schedule.h"

#include <gtest/gtest.h>

namespace podtap::discovery {
namespace {

constexpr int64_t kMs = 1'000'000;
constexpr int64_t kStart = 1'000'000 * kMs;

// A schedule that has looked once, for 1 ms, long after any change.
LookSchedule AtRest() {
  LookSchedule schedule;
  schedule.OnLook(kStart - kMs, kStart, false);
  return schedule;
}

TEST(LookScheduleTest, TheFirstLookIsDueAtOnceAndTheNextAfterSeconds) {
  EXPECT_LE(LookSchedule().due_ns(), 0);
  EXPECT_EQ(AtRest().due_ns(), kStart + LookSchedule::kSlowNs);
}

TEST(LookScheduleTest, AChangeIsLookedAtAtOnceAndForAWhile) {
  LookSchedule schedule = AtRest();
  int64_t now = kStart + 1'000 * kMs;
  schedule.OnChange(now);
  EXPECT_EQ(schedule.due_ns(), now);
  int looks = 0;
  while (schedule.due_ns() < now + LookSchedule::kSlowNs) {
    now = schedule.due_ns();
    schedule.OnLook(now, now + kMs, false);
    ++looks;
  }
  EXPECT_GE(looks, 9);
  EXPECT_LE(looks, 12);
}

TEST(LookScheduleTest, InterfacesWithoutAPodAreLookedAtForLonger) {
  LookSchedule schedule = AtRest();
  const int64_t changed = kStart + 1'000 * kMs;
  schedule.OnChange(changed);
  const int64_t later = changed + LookSchedule::kSettleForNs + kMs;
  schedule.OnLook(later - kMs, later, false);
  EXPECT_EQ(schedule.due_ns(), later + LookSchedule::kSlowNs);
  schedule.OnLook(later - kMs, later, true);
  EXPECT_EQ(schedule.due_ns(), later + LookSchedule::kSettleEveryNs);
  const int64_t late = changed + LookSchedule::kMatchForNs + kMs;
  schedule.OnLook(late - kMs, late, true);
  EXPECT_EQ(schedule.due_ns(), late + LookSchedule::kLateMatchEveryNs);
  const int64_t too_late = changed + LookSchedule::kLateMatchForNs + kMs;
  schedule.OnLook(too_late - kMs, too_late, true);
  EXPECT_EQ(schedule.due_ns(), too_late + LookSchedule::kSlowNs);
}

// However many changes there are, looking takes at most a quarter of the time.
TEST(LookScheduleTest, AFloodOfChangesIsAnsweredByFewLooks) {
  LookSchedule schedule = AtRest();
  const int64_t look = 20 * kMs;
  int64_t busy = 0;
  const int64_t begin = kStart + 100 * kMs;
  for (int64_t now = begin; now < begin + 2'000 * kMs; now += kMs) {
    schedule.OnChange(now);
    if (schedule.due_ns() <= now) {
      schedule.OnLook(now, now + look, true);
      busy += look;
    }
  }
  EXPECT_GT(busy, 300 * kMs);
  EXPECT_LE(busy, 520 * kMs);
}

}  // namespace
}  // namespace podtap::discovery
