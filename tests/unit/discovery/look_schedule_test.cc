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

TEST(LookScheduleTest, NamespacesAreAskedForUntilAllIsQuietAndNowAndThen) {
  LookSchedule schedule = AtRest();
  EXPECT_TRUE(schedule.needs_namespaces(kStart));
  schedule.OnNamespaces(kStart);
  EXPECT_FALSE(schedule.needs_namespaces(kStart + kMs));
  const int64_t changed = kStart + 1'000 * kMs;
  schedule.OnChange(changed);
  EXPECT_TRUE(schedule.needs_namespaces(changed));
  // A file may stand for no namespace yet.
  schedule.OnNamespaces(changed + LookSchedule::kNamespacesSettleNs - 1);
  EXPECT_TRUE(schedule.needs_namespaces(changed + LookSchedule::kNamespacesSettleNs));
  const int64_t settled = changed + LookSchedule::kNamespacesSettleNs;
  schedule.OnNamespaces(settled);
  EXPECT_FALSE(schedule.needs_namespaces(settled + LookSchedule::kNamespacesForNs - 1));
  EXPECT_TRUE(schedule.needs_namespaces(settled + LookSchedule::kNamespacesForNs));
  schedule.OnPods();
  EXPECT_TRUE(schedule.needs_namespaces(settled));
}

// The slow look that follows the last change comes late enough.
TEST(LookScheduleTest, NamespacesAreAskedForInTheFirstSlowLook) {
  LookSchedule schedule = AtRest();
  const int64_t changed = kStart + 1'000 * kMs;
  schedule.OnChange(changed);
  int64_t now = changed;
  for (int looks = 0; looks < 100; ++looks) {
    schedule.OnNamespaces(now);
    schedule.OnLook(now, now + kMs, false);
    now = schedule.due_ns();
    if (now >= changed + LookSchedule::kSlowNs) {
      break;
    }
  }
  EXPECT_TRUE(schedule.needs_namespaces(now));
  schedule.OnNamespaces(now);
  schedule.OnLook(now, now + kMs, false);
  EXPECT_FALSE(schedule.needs_namespaces(schedule.due_ns()));
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
