// Who gets into a ring that fills up, through test-run: nobody reads unless a test does.
#include <gtest/gtest.h>

#include "bpf/capture_abi.h"
#include "tests/bpf/tcp_conversation.h"
#include "tests/support/capture_harness.h"

namespace podtap::testing {
namespace {

using capture::Direction;
using capture::TapId;

constexpr TapId kFlooding{1, 1};
constexpr TapId kQuiet{2, 1};
constexpr uint32_t kRingBytes = 256 * 1024;

std::string Request(size_t padding = 900) {
  return "GET / HTTP/1.1\r\nX: " + std::string(padding, 'x') + "\r\n\r\n";
}

class FairShareTest : public ::testing::Test {
 protected:
  // What the tap's records take of the ring, if nothing of it was read.
  uint64_t Held(const TapId& tap) const {
    const uint64_t count = harness_.Count(PT_TALLY_RECORDS, tap);
    // Rounding is less than the 8 bytes that each record may be off by.
    return harness_.CountBytes(PT_TALLY_RECORDS, tap) + count * 8;
  }
  // Sends until the tap is refused.
  void Fill(TcpConversation& conversation, const TapId& tap) {
    for (int i = 0; i < 1000 && harness_.Count(PT_COUNT_FAIR_SHARE, tap) == 0; ++i) {
      conversation.Send(Direction::kFromPod, Request());
    }
    ASSERT_EQ(harness_.Count(PT_COUNT_FAIR_SHARE, tap), 1u);
  }

  CaptureHarness harness_{{.l3_base = 0, .ring_bytes = kRingBytes, .max_connections = 1000}};
  TcpConversation flood_{harness_, 40000, kFlooding};
  TcpConversation quiet_{harness_, 40000, kQuiet};
};

TEST_F(FairShareTest, QuietTapKeepsEveryRecordWhileTheFloodingOneIsRefused) {
  flood_.Open();
  quiet_.Open();
  const uint64_t floods = 2000, quiets = 100;
  for (uint64_t i = 0; i < floods; ++i) {
    flood_.Send(Direction::kFromPod, Request());
    if (i % (floods / quiets) == 0) {
      quiet_.Send(Direction::kFromPod, Request(100));
    }
  }
  EXPECT_EQ(harness_.Count(PT_COUNT_COPIED, kQuiet), quiets);
  EXPECT_EQ(harness_.Count(PT_COUNT_FAIR_SHARE, kQuiet), 0u);
  // Submitted and refused make up what was sent, in records and in bytes.
  const uint64_t copied = harness_.Count(PT_COUNT_COPIED, kFlooding);
  const uint64_t refused = harness_.Count(PT_COUNT_FAIR_SHARE, kFlooding);
  EXPECT_GT(refused, 1000u);
  EXPECT_EQ(copied + refused, floods);
  EXPECT_EQ(harness_.CountBytes(PT_COUNT_FAIR_SHARE, kFlooding), refused * Request().size());
  EXPECT_EQ(harness_.CountBytes(PT_COUNT_COPIED, kFlooding), copied * Request().size());
  EXPECT_EQ(harness_.Count(PT_COUNT_RING_FULL, kFlooding), 0u);
  EXPECT_EQ(harness_.Count(PT_COUNT_RING_FULL, kQuiet), 0u);
  EXPECT_EQ(harness_.Records().size(), copied + quiets);
}

TEST_F(FairShareTest, BusyTapsShareEquallyAndLeaveRoom) {
  constexpr uint32_t kTaps = 5;
  for (int round = 0; round < 400; ++round) {
    for (uint32_t slot = 1; slot <= kTaps; ++slot) {
      TcpConversation conversation(harness_, 40000, {slot, 1});
      if (round == 0) {
        conversation.Open();
      }
      conversation.Send(Direction::kFromPod, Request());
    }
  }
  // 2/(2n + 1) of the ring each, give or take a record.
  for (uint32_t slot = 1; slot <= kTaps; ++slot) {
    EXPECT_NEAR(static_cast<double>(Held({slot, 1})), kRingBytes * 2.0 / (2 * kTaps + 1), 1200);
  }
}

TEST_F(FairShareTest, ReadingGivesTheShareBackAlsoToTheSlotsNextTap) {
  flood_.Open();
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 1000; ++i) {
      flood_.Send(Direction::kFromPod, Request());
    }
    const uint64_t refused = harness_.Count(PT_COUNT_FAIR_SHARE, kFlooding);
    EXPECT_GT(refused, 700u);
    harness_.Records();
    flood_.Send(Direction::kFromPod, Request());
    EXPECT_EQ(harness_.Count(PT_COUNT_FAIR_SHARE, kFlooding), refused);
    ASSERT_TRUE(harness_.program().ClearCounters(kFlooding.slot).ok());
  }
  // The slot's next tap: what the one before left in the ring goes to its account, and off again.
  TcpConversation next(harness_, 40000, {kFlooding.slot, kFlooding.generation + 1});
  next.Open();
  Fill(next, kFlooding);
  harness_.Records();
  next.Send(Direction::kFromPod, Request());
  EXPECT_EQ(harness_.Count(PT_COUNT_FAIR_SHARE, kFlooding), 1u);
}

TEST_F(FairShareTest, EndsAndRunsGetInBeyondTheShareOfPayload) {
  TcpConversation ended(harness_, 40001, kFlooding);
  ended.Open();
  ended.Send(Direction::kFromPod, Request());
  // A connection with a run of segments without copy under way.
  TcpConversation upload(harness_, 40002, kFlooding);
  upload.Open();
  upload.Send(Direction::kFromPod, "PUT / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n");
  const uint32_t begin = upload.seq(Direction::kFromPod);
  upload.Send(Direction::kFromPod, std::string(1000, 's'));
  flood_.Open();
  Fill(flood_, kFlooding);

  ended.Send(Direction::kFromPod, "", kFin | kAck);
  EXPECT_EQ(harness_.Count(PT_COUNT_CLOSING, kFlooding), 1u);
  upload.Send(Direction::kToPod, "", kRst);
  EXPECT_EQ(harness_.Count(PT_COUNT_CLOSING, kFlooding), 2u);
  EXPECT_EQ(harness_.Count(PT_TALLY_RUNS_LOST, kFlooding), 0u);
  const std::vector<Recorded>& records = harness_.Records();
  const Recorded& run = records[records.size() - 2];
  EXPECT_TRUE(run.segment.coalesced);
  EXPECT_EQ(run.segment.seq, begin);
  EXPECT_EQ(run.segment.wire_len, 1000u);
}

TEST_F(FairShareTest, EvenEndsDoNotTakeAll) {
  // As many connections as it takes, each heard of.
  for (uint16_t port = 1; port <= 900; ++port) {
    TcpConversation conversation(harness_, port, kFlooding);
    conversation.Open();
    conversation.Send(Direction::kFromPod, Request(20));
  }
  harness_.Records();
  ASSERT_EQ(harness_.Count(PT_COUNT_COPIED, kFlooding), 900u);
  for (int round = 0; round < 4; ++round) {
    for (uint16_t port = 1; port <= 900; ++port) {
      TcpConversation conversation(harness_, port, kFlooding);
      conversation.Send(Direction::kFromPod, "", kFin | kAck);
    }
  }
  EXPECT_GT(harness_.Count(PT_COUNT_FAIR_SHARE, kFlooding), 0u);
  EXPECT_EQ(
      harness_.Count(PT_COUNT_CLOSING, kFlooding) + harness_.Count(PT_COUNT_FAIR_SHARE, kFlooding),
      3600u);
  quiet_.Open();
  quiet_.Send(Direction::kFromPod, Request());
  EXPECT_EQ(harness_.Count(PT_COUNT_COPIED, kQuiet), 1u);
}

TEST_F(FairShareTest, RefusedConnectionsDoNotFillTheTable) {
  flood_.Open();
  Fill(flood_, kFlooding);
  // More than the table holds; none of them is ever heard of.
  for (uint16_t port = 1; port <= 2000; ++port) {
    TcpConversation conversation(harness_, port, kFlooding);
    conversation.Open();
    conversation.Send(Direction::kFromPod, Request());
    conversation.Send(Direction::kFromPod, "", kFin | kAck);
    conversation.Send(Direction::kToPod, "", kFin | kAck);
  }
  EXPECT_EQ(harness_.Count(PT_COUNT_FAIR_SHARE, kFlooding), 2001u);
  EXPECT_EQ(harness_.Count(PT_COUNT_TABLE_FULL, kFlooding), 0u);
  quiet_.Open();
  quiet_.Send(Direction::kFromPod, Request());
  EXPECT_EQ(harness_.Count(PT_COUNT_COPIED, kQuiet), 1u);
}

TEST_F(FairShareTest, FullRingIsCountedByItsOwnName) {
  // Each of many taps holds little, so that none is above its share.
  uint64_t sent = 0, copied = 0, full = 0, full_bytes = 0;
  for (uint32_t slot = 1; slot <= 300; ++slot, ++sent) {
    const TapId tap{slot, 1};
    TcpConversation conversation(harness_, 40000, tap);
    conversation.Open();
    conversation.Send(Direction::kFromPod, Request());
    copied += harness_.Count(PT_COUNT_COPIED, tap);
    full += harness_.Count(PT_COUNT_RING_FULL, tap);
    full_bytes += harness_.CountBytes(PT_COUNT_RING_FULL, tap);
  }
  EXPECT_GT(full, 20u);
  EXPECT_EQ(copied + full, sent);
  EXPECT_EQ(full_bytes, full * Request().size());
  EXPECT_EQ(harness_.Records().size(), copied);
}

}  // namespace
}  // namespace podtap::testing
