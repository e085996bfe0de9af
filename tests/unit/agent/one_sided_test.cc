#include "agent/one_sided.h"

#include <gtest/gtest.h>

namespace podtap {
namespace {

using enrichment::Sides;

constexpr int64_t kSecond = 1'000'000'000;

// A tap that sees the same in every second.
class OneSidedTest : public ::testing::Test {
 protected:
  // Sides after `seconds` of so many packets a second, asked every second.
  Sides After(int seconds, const SeenPackets& per_second) {
    for (int i = 0; i < seconds; ++i) {
      watch_.Observe(seen_, now_ns_);
      Add(seen_.from_pod, per_second.from_pod);
      Add(seen_.to_pod, per_second.to_pod);
      now_ns_ += kSecond;
    }
    return watch_.Observe(seen_, now_ns_);
  }
  // Whether it is time, after packets of another kind.
  bool IsDueAfter(int seconds, uint64_t packets) {
    now_ns_ += seconds * kSecond;
    seen_.crossed += packets;
    return watch_.IsDue(seen_.crossed, now_ns_);
  }

 private:
  static void Add(capture::TcpPackets& sum, const capture::TcpPackets& more) {
    sum.all += more.all;
    sum.with_payload += more.with_payload;
  }

  OneSidedWatch watch_;
  SeenPackets seen_;
  int64_t now_ns_ = 1'000 * kSecond;
};

TEST_F(OneSidedTest, OneDirectionForAWhileIsOneSided) {
  // Requests and acknowledgements leave the pod; nothing comes.
  const SeenPackets only_from{.from_pod = {.all = 40, .with_payload = 20}};
  EXPECT_EQ(After(14, only_from), Sides::kBoth);
  EXPECT_EQ(After(2, only_from), Sides::kFromPodOnly);
}

TEST_F(OneSidedTest, TheOtherDirectionToo) {
  EXPECT_EQ(After(16, {.to_pod = {.all = 40, .with_payload = 20}}), Sides::kToPodOnly);
}

TEST_F(OneSidedTest, AFewStrayPacketsChangeNothing) {
  EXPECT_EQ(After(16, {.from_pod = {.all = 500, .with_payload = 500}, .to_pod = {.all = 1}}),
            Sides::kFromPodOnly);
}

TEST_F(OneSidedTest, RequestsAndResponsesAreTwoSided) {
  EXPECT_EQ(After(120, {.from_pod = {.all = 20, .with_payload = 10},
                        .to_pod = {.all = 20, .with_payload = 10}}),
            Sides::kBoth);
}

// Its receiver acknowledges every other large segment, or far fewer where packets are many.
TEST_F(OneSidedTest, ABulkUploadIsTwoSided) {
  EXPECT_EQ(
      After(120, {.from_pod = {.all = 20'000, .with_payload = 20'000}, .to_pod = {.all = 150}}),
      Sides::kBoth);
}

TEST_F(OneSidedTest, ABulkDownloadIsTwoSided) {
  EXPECT_EQ(
      After(120, {.from_pod = {.all = 150}, .to_pod = {.all = 20'000, .with_payload = 20'000}}),
      Sides::kBoth);
}

// A tap may be older than its first look: no window was kept of what went by before.
TEST_F(OneSidedTest, WhatWentByBeforeTheFirstLookTellsNothing) {
  OneSidedWatch watch;
  SeenPackets seen{.from_pod = {.all = 1'000, .with_payload = 1'000}};
  EXPECT_EQ(watch.Observe(seen, kSecond), Sides::kBoth);
  for (int window = 1; window <= OneSidedWatch::kWindows; ++window) {
    seen.from_pod.all += 100;
    seen.from_pod.with_payload += 100;
    EXPECT_EQ(watch.Observe(seen, kSecond + window * OneSidedWatch::kWindowNs),
              window < OneSidedWatch::kWindows ? Sides::kBoth : Sides::kFromPodOnly);
  }
}

// Looks that find too little put the end of the window off by five seconds, not until the next one.
TEST_F(OneSidedTest, AWindowEndsFiveSecondsAfterALookThatFoundTooLittle) {
  const SeenPackets only_from{.from_pod = {.all = 100, .with_payload = 100}};
  EXPECT_EQ(After(6, {}), Sides::kBoth);
  EXPECT_EQ(After(12, only_from), Sides::kBoth);
  EXPECT_EQ(After(2, only_from), Sides::kFromPodOnly);
}

TEST_F(OneSidedTest, PacketsWithoutPayloadTellNothing) {
  // SYNs that nobody answers. UDP is not among the packets at all.
  EXPECT_EQ(After(120, {.from_pod = {.all = 5'000}}), Sides::kBoth);
}

TEST_F(OneSidedTest, FewPacketsTellNothingHoweverLongItTakes) {
  // Retransmissions of one connection to a peer that is gone.
  EXPECT_EQ(After(600, {.from_pod = {.all = 1, .with_payload = 1}}), Sides::kBoth);
}

TEST_F(OneSidedTest, ABreakOfAnswersIsNotOneSided) {
  const SeenPackets both{.from_pod = {.all = 20, .with_payload = 20}, .to_pod = {.all = 20}};
  const SeenPackets unanswered{.from_pod = {.all = 20, .with_payload = 20}};
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(After(9, unanswered), Sides::kBoth);
    EXPECT_EQ(After(6, both), Sides::kBoth);
  }
}

TEST_F(OneSidedTest, SilenceBetweenIsNoAnswer) {
  const SeenPackets only_from{.from_pod = {.all = 20, .with_payload = 20}};
  EXPECT_EQ(After(6, only_from), Sides::kBoth);
  EXPECT_EQ(After(70, {}), Sides::kBoth);
  EXPECT_EQ(After(11, only_from), Sides::kFromPodOnly);
}

TEST_F(OneSidedTest, ItIsTwoSidedAgainAsSoonAsAnswersAreSeen) {
  EXPECT_EQ(After(16, {.from_pod = {.all = 20, .with_payload = 20}}), Sides::kFromPodOnly);
  EXPECT_EQ(After(70, {}), Sides::kFromPodOnly);
  EXPECT_EQ(After(11, {.from_pod = {.all = 20, .with_payload = 20},
                       .to_pod = {.all = 20, .with_payload = 20}}),
            Sides::kBoth);
}

TEST_F(OneSidedTest, FewPacketsAreNotLookedAtUntilTheLongestWindowIsOver) {
  // Also in the first minute of a machine.
  EXPECT_TRUE(OneSidedWatch().IsDue(0, kSecond));
  EXPECT_TRUE(IsDueAfter(0, 0));
  After(0, {});
  EXPECT_FALSE(IsDueAfter(4, OneSidedWatch::kManyPackets));
  EXPECT_TRUE(IsDueAfter(1, 0));
  // Nothing of it was TCP: the window goes on.
  After(0, {});
  EXPECT_FALSE(IsDueAfter(4, 0));
  EXPECT_TRUE(IsDueAfter(1, 0));
  EXPECT_TRUE(IsDueAfter(50, 0));
  // Another window.
  After(0, {});
  EXPECT_FALSE(IsDueAfter(59, OneSidedWatch::kManyPackets - 1));
  EXPECT_TRUE(IsDueAfter(1, 0));
}

}  // namespace
}  // namespace podtap
