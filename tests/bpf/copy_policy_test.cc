// What is copied, sampled, skipped and refused on a connection, through test-run.
#include <gtest/gtest.h>

#include "absl/strings/str_format.h"
#include "agent/capture/connection_map.h"
#include "bpf/capture_abi.h"
#include "tests/bpf/tcp_conversation.h"
#include "tests/support/capture_harness.h"

namespace podtap::testing {
namespace {

using capture::ConnectionKey;
using capture::ConnectionMap;
using capture::Direction;
using capture::Feedback;
using capture::Verdict;

constexpr char kGet[] = "GET /a HTTP/1.1\r\n\r\n";
constexpr char kHead[] = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";

class CopyPolicyTest : public ::testing::Test {
 protected:
  // A response whose body is under way: enough of it copied that feedback is looked up.
  ConnectionKey StartDownload(TcpConversation& conversation) {
    conversation.Open();
    conversation.Send(Direction::kFromPod, kGet);
    conversation.Send(Direction::kToPod, kHead);
    for (int i = 0; i < 3; ++i) {
      conversation.Send(Direction::kToPod, std::string(1448, 'b'));
    }
    EXPECT_EQ(harness_.Records().size(), 5u);
    return harness_.Records().back().segment.key;
  }
  void PostSkip(const ConnectionKey& key, uint32_t until) {
    Feedback feedback{.verdict = Verdict::kHttp};
    feedback.skip_until[static_cast<int>(Direction::kToPod)] = until;
    map_.OnFeedback(key, feedback);
  }
  Recorded Last() { return harness_.Records().back(); }

  CaptureHarness harness_{{.l3_base = 0, .max_connections = 1000}};
  ConnectionMap map_{harness_.program()};
};

TEST_F(CopyPolicyTest, PayloadUpToCaptureBytesIsCopiedWholeAndLongerIsSampled) {
  CaptureHarness harness({.l3_base = 0, .capture_bytes = 256});
  TcpConversation conversation(harness);
  conversation.Open();
  conversation.Send(Direction::kFromPod, kGet);
  conversation.Send(Direction::kToPod, kHead);
  conversation.Send(Direction::kToPod, std::string(256, 'a'));
  EXPECT_EQ(harness.Records().back().head, std::string(256, 'a'));
  EXPECT_EQ(harness.Count(PT_COUNT_SAMPLED), 0u);
  std::string body(1000, 'm');
  body.replace(0, 3, "abc");
  body.replace(997, 3, "xyz");
  conversation.Send(Direction::kToPod, body);
  const Recorded last = harness.Records().back();
  EXPECT_EQ(harness.Count(PT_COUNT_SAMPLED), 1u);
  EXPECT_EQ(last.head, body.substr(0, 256));
  EXPECT_EQ(last.tail, body.substr(1000 - PT_TAIL_BYTES));
  EXPECT_EQ(last.segment.wire_len, 1000u);
}

// Longer than one part, and shorter than the two together.
TEST_F(CopyPolicyTest, PayloadLittleLongerThanCaptureBytesIsTakenWhole) {
  CaptureHarness harness({.l3_base = 0, .capture_bytes = 256});
  TcpConversation conversation(harness);
  conversation.Open();
  conversation.Send(Direction::kFromPod, kGet);
  conversation.Send(Direction::kToPod, kHead);
  for (const size_t size : {257, 280, 319, 320}) {
    std::string body(size, 'm');
    for (size_t i = 0; i < size; ++i) {
      body[i] = static_cast<char>('a' + i % 23);
    }
    conversation.Send(Direction::kToPod, body);
    const Recorded last = harness.Records().back();
    EXPECT_EQ(last.head + last.tail, body) << size;
  }
}

TEST_F(CopyPolicyTest, HeadIsCopiedBeyondCaptureBytes) {
  CaptureHarness harness({.l3_base = 0, .capture_bytes = 256});
  TcpConversation conversation(harness);
  conversation.Open();
  const std::string request = "GET / HTTP/1.1\r\nX: " + std::string(2000, 'x') + "\r\n\r\n";
  conversation.Send(Direction::kFromPod, request);
  EXPECT_EQ(harness.Records().back().head, request);
  EXPECT_EQ(harness.Count(PT_COUNT_COPIED), 1u);
}

TEST_F(CopyPolicyTest, SkippedBytesBecomeOneRecordWhenTheTargetIsReached) {
  TcpConversation conversation(harness_);
  const ConnectionKey key = StartDownload(conversation);
  const uint32_t begin = conversation.seq(Direction::kToPod);
  PostSkip(key, begin + 10 * 1448);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(harness_.Records().size(), 5u) << "segment " << i;
    conversation.Send(Direction::kToPod, std::string(1448, 's'));
  }
  ASSERT_EQ(harness_.Records().size(), 6u);
  EXPECT_TRUE(Last().segment.coalesced);
  EXPECT_EQ(Last().segment.seq, begin);
  EXPECT_EQ(Last().segment.wire_len, 10u * 1448);
  EXPECT_EQ(Last().head, "");
  EXPECT_EQ(harness_.Count(PT_COUNT_SKIPPED), 10u);
  EXPECT_EQ(harness_.CountBytes(PT_COUNT_SKIPPED), 10u * 1448);
}

TEST_F(CopyPolicyTest, SegmentAcrossTheTargetIsCopiedFromTheTargetOn) {
  TcpConversation conversation(harness_);
  const ConnectionKey key = StartDownload(conversation);
  const uint32_t begin = conversation.seq(Direction::kToPod);
  PostSkip(key, begin + 100);
  conversation.Send(Direction::kToPod, std::string(100, 's') + "HTTP/1.1 204 No Content\r\n\r\n");
  ASSERT_EQ(harness_.Records().size(), 7u);
  const Recorded run = harness_.Records()[5];
  EXPECT_TRUE(run.segment.coalesced);
  EXPECT_EQ(run.segment.seq, begin);
  EXPECT_EQ(run.segment.wire_len, 100u);
  EXPECT_EQ(Last().segment.seq, begin + 100);
  EXPECT_EQ(Last().head, "HTTP/1.1 204 No Content\r\n\r\n");
  // The target is behind now and means nothing any more.
  conversation.Send(Direction::kToPod, "more");
  EXPECT_EQ(Last().head, "more");
}

TEST_F(CopyPolicyTest, RunIsReportedBeforeWhatFollowsALostSegmentAcrossTheTarget) {
  TcpConversation conversation(harness_);
  const ConnectionKey key = StartDownload(conversation);
  const uint32_t begin = conversation.seq(Direction::kToPod);
  PostSkip(key, begin + 1000);
  conversation.Send(Direction::kToPod, std::string(900, 's'));
  EXPECT_EQ(harness_.Records().size(), 5u);
  conversation.SendAt(Direction::kToPod, begin + 1100, "behind the lost one");
  ASSERT_EQ(harness_.Records().size(), 7u);
  const Recorded run = harness_.Records()[5];
  EXPECT_TRUE(run.segment.coalesced);
  EXPECT_EQ(run.segment.seq, begin);
  EXPECT_EQ(run.segment.wire_len, 900u);
  EXPECT_EQ(Last().head, "behind the lost one");
  // The lost one comes: its part of the body and what follows.
  conversation.SendAt(Direction::kToPod, begin + 900, std::string(200, 'l'));
  EXPECT_EQ(Last().segment.seq, begin + 900);
  EXPECT_EQ(Last().head, std::string(200, 'l'));
}

TEST_F(CopyPolicyTest, HeadBehindASkippedBodyIsCopiedAsAHead) {
  CaptureHarness harness({.l3_base = 0, .capture_bytes = 256});
  ConnectionMap map(harness.program());
  TcpConversation conversation(harness);
  conversation.Open();
  conversation.Send(Direction::kFromPod, kGet);
  conversation.Send(Direction::kToPod, kHead);
  for (int i = 0; i < 20; ++i) {
    conversation.Send(Direction::kToPod, std::string(1000, 'b'));
  }
  Feedback feedback{.verdict = Verdict::kHttp};
  feedback.skip_until[static_cast<int>(Direction::kToPod)] =
      conversation.seq(Direction::kToPod) + 100;
  map.OnFeedback(harness.Records().back().segment.key, feedback);
  const std::string head = "HTTP/1.1 200 OK\r\nX: " + std::string(1500, 'x') + "\r\n\r\n";
  conversation.Send(Direction::kToPod, std::string(100, 's') + head);
  EXPECT_EQ(harness.Records().back().head, head);
}

TEST_F(CopyPolicyTest, ClosingReportsWhatWasSkippedSoFar) {
  for (const Direction closer : {Direction::kFromPod, Direction::kToPod}) {
    for (const uint8_t flag : {kFin, kRst}) {
      CaptureHarness harness({.l3_base = 0});
      ConnectionMap map(harness.program());
      TcpConversation conversation(harness);
      conversation.Open();
      conversation.Send(Direction::kFromPod, kGet);
      conversation.Send(Direction::kToPod, kHead + std::string(2000, 'b'));
      conversation.Send(Direction::kToPod, std::string(2900, 'b'));
      const uint32_t begin = conversation.seq(Direction::kToPod);
      Feedback feedback{.verdict = Verdict::kHttp};
      feedback.skip_until[static_cast<int>(Direction::kToPod)] = begin + 50'000;
      map.OnFeedback(harness.Records().back().segment.key, feedback);
      conversation.Send(Direction::kToPod, std::string(1000, 's'));
      conversation.Send(Direction::kToPod, std::string(1000, 's'));
      ASSERT_EQ(harness.Records().size(), 3u);
      conversation.Send(closer, "", flag);
      ASSERT_EQ(harness.Records().size(), 5u);
      EXPECT_TRUE(harness.Records()[3].segment.coalesced);
      EXPECT_EQ(harness.Records()[3].segment.seq, begin);
      EXPECT_EQ(harness.Records()[3].segment.wire_len, 2000u);
      EXPECT_EQ(harness.Records()[4].segment.fin, flag == kFin);
      EXPECT_EQ(harness.Records()[4].segment.rst, flag == kRst);
    }
  }
}

TEST_F(CopyPolicyTest, FinWithSkippedPayloadIsStillReported) {
  TcpConversation conversation(harness_);
  const ConnectionKey key = StartDownload(conversation);
  const uint32_t begin = conversation.seq(Direction::kToPod);
  PostSkip(key, begin + 5000);
  conversation.Send(Direction::kToPod, std::string(1000, 's'), kFin | kAck);
  ASSERT_EQ(harness_.Records().size(), 7u);
  EXPECT_EQ(harness_.Records()[5].segment.wire_len, 1000u);
  EXPECT_TRUE(Last().segment.fin);
  EXPECT_EQ(Last().segment.seq, begin + 1000);
  EXPECT_EQ(Last().segment.wire_len, 0u);
}

TEST_F(CopyPolicyTest, FeedbackForAnOlderConnectionOfTheTupleMeansNothing) {
  TcpConversation conversation(harness_);
  ConnectionKey key = StartDownload(conversation);
  key.opened_ns -= 1;
  PostSkip(key, conversation.seq(Direction::kToPod) + 5000);
  conversation.Send(Direction::kToPod, "copied");
  EXPECT_EQ(Last().head, "copied");
}

TEST_F(CopyPolicyTest, OpaqueByFeedback) {
  TcpConversation conversation(harness_);
  const ConnectionKey key = StartDownload(conversation);
  map_.OnFeedback(key, {.verdict = Verdict::kOpaque});
  conversation.Send(Direction::kToPod, "HTTP/1.1 200 OK\r\n\r\n");
  EXPECT_EQ(harness_.Count(PT_COUNT_OPAQUE), 1u);
  EXPECT_EQ(harness_.Records().size(), 5u);
}

TEST_F(CopyPolicyTest, OpaqueByFeedbackForAnOlderConnectionLeavesTheTuplesNewOne) {
  TcpConversation conversation(harness_);
  ConnectionKey key = StartDownload(conversation);
  key.opened_ns -= 1;
  map_.OnFeedback(key, {.verdict = Verdict::kOpaque});
  conversation.Send(Direction::kToPod, "body, body");
  EXPECT_EQ(Last().head, "body, body");
  EXPECT_EQ(harness_.Count(PT_COUNT_OPAQUE), 0u);
}

TEST_F(CopyPolicyTest, HellosAreCopiedBeyondCaptureBytesAndTheRestIsBounded) {
  CaptureHarness harness({.l3_base = 0, .capture_bytes = 256});
  TcpConversation conversation(harness);
  conversation.Open();
  const std::string start("\x16\x03\x01\x07\x00\x01\x00\x06", 8);
  const std::string client = start + std::string(1800, 'h');
  conversation.Send(Direction::kFromPod, client);
  EXPECT_EQ(harness.Records().back().head, client);
  const std::string server =
      std::string("\x16\x03\x03\x00\x7a\x02\x00\x00", 8) + std::string(2500, 'h');
  conversation.Send(Direction::kToPod, server);
  EXPECT_EQ(harness.Records().back().head, server);
  // User space says nothing, and still the copying ends.
  for (int i = 0; i < 100; ++i) {
    conversation.Send(Direction::kFromPod, std::string(250, 'd'));
    conversation.Send(Direction::kToPod, std::string(250, 'd'));
  }
  EXPECT_LE(harness.Records().size(), 2u + PT_UNDECIDED_BYTES / 250 + 1);
  EXPECT_EQ(harness.Count(PT_COUNT_TLS), 202u);
  EXPECT_EQ(harness.Count(PT_TALLY_TLS), 1u);
}

TEST_F(CopyPolicyTest, ForgottenConnectionIsPickedUpOnlyAtAHead) {
  TcpConversation conversation(harness_);
  const ConnectionKey key = StartDownload(conversation);
  map_.OnForgotten(key);
  conversation.Send(Direction::kToPod, "body, body");
  EXPECT_EQ(harness_.Count(PT_COUNT_MIDSTREAM), 1u);
  conversation.Send(Direction::kFromPod, kGet);
  EXPECT_EQ(Last().head, kGet);
  EXPECT_FALSE(Last().segment.client.has_value());
  EXPECT_NE(Last().segment.key.opened_ns, key.opened_ns);
}

TEST_F(CopyPolicyTest, ForgettingAnOlderConnectionLeavesTheTuplesNewOne) {
  TcpConversation conversation(harness_);
  ConnectionKey key = StartDownload(conversation);
  key.opened_ns -= 1;
  map_.OnForgotten(key);
  conversation.Send(Direction::kToPod, "body, body");
  EXPECT_EQ(Last().head, "body, body");
}

TEST_F(CopyPolicyTest, UndecidedConnectionIsCopiedUpToItsLimitAndHttpLiftsIt) {
  TcpConversation conversation(harness_);
  conversation.Open();
  for (int i = 0; i < 4; ++i) {
    conversation.Send(Direction::kFromPod, std::string(1024, 'q'));
  }
  EXPECT_EQ(harness_.Records().size(), 4u);
  conversation.Send(Direction::kFromPod, "beyond");
  EXPECT_EQ(harness_.Count(PT_COUNT_UNDECIDED), 1u);
  ASSERT_EQ(harness_.Records().size(), 4u);
  map_.OnFeedback(Last().segment.key, {.verdict = Verdict::kHttp});
  conversation.Send(Direction::kFromPod, "seen");
  EXPECT_EQ(Last().head, "seen");
}

TEST_F(CopyPolicyTest, MethodOfAnyKindMakesAConnectionHttp) {
  for (const std::string method : {"PROPFIND", "x-brew", "0", "BASELINE-CONTROL"}) {
    CaptureHarness harness({.l3_base = 0, .capture_bytes = 256});
    TcpConversation conversation(harness);
    conversation.Open();
    const std::string request = method + " / HTTP/1.1\r\nX: " + std::string(2000, 'x');
    conversation.Send(Direction::kFromPod, request);
    EXPECT_EQ(harness.Records().back().head, request);
    // Beyond what an undecided connection may have copied.
    for (int i = 0; i < 100; ++i) {
      conversation.Send(Direction::kFromPod, std::string(100, 'x'));
    }
    EXPECT_EQ(harness.Count(PT_COUNT_COPIED), 101u) << method;
  }
}

TEST_F(CopyPolicyTest, WhatOnlyResemblesAMethodLeavesAConnectionUndecided) {
  for (const std::string begin :
       {"x-brew\t/ HTTP/1.1\r\n\r\n", "PROPFIND  / HTTP/1.1\r\n\r\n",
        "NO-METHOD-IS-AS-LONG-AS-THIS / HTTP/1.1", "a\r\nb c d e f g h i j k l"}) {
    CaptureHarness harness({.l3_base = 0});
    TcpConversation conversation(harness);
    conversation.Open();
    conversation.Send(Direction::kFromPod, begin);
    for (int i = 0; i < 50; ++i) {
      conversation.Send(Direction::kFromPod, std::string(100, 'x'));
    }
    EXPECT_GT(harness.Count(PT_COUNT_UNDECIDED), 0u) << begin;
  }
}

TEST_F(CopyPolicyTest, LongRequestBodyDoesNotMakeItsConnectionUndecided) {
  TcpConversation conversation(harness_);
  conversation.Open();
  conversation.Send(Direction::kFromPod, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 20; ++i) {
    conversation.Send(Direction::kFromPod, std::string(1024, 'q'));
  }
  EXPECT_EQ(harness_.Records().size(), 21u);
  EXPECT_EQ(harness_.Count(PT_COUNT_UNDECIDED), 0u);
}

TEST_F(CopyPolicyTest, NewSynOnTheTupleBeginsANewConnection) {
  TcpConversation first(harness_);
  first.Open();
  first.Send(Direction::kFromPod, kGet);
  const ConnectionKey old_key = Last().segment.key;
  harness_.TestRun(Packet().V4("192.0.2.1", "192.0.2.2").Tcp(40000, 80).Seq(77).Flags(kSyn).Frame(),
                   Direction::kFromPod);
  first.SendAt(Direction::kFromPod, 78, kGet);
  EXPECT_GT(Last().segment.key.opened_ns, old_key.opened_ns);
  EXPECT_EQ(Last().segment.initial_seq[0], 77u);
  EXPECT_EQ(harness_.Count(PT_TALLY_CONNECTIONS), 2u);
}

TEST_F(CopyPolicyTest, SynSentAgainChangesNothing) {
  TcpConversation conversation(harness_);
  conversation.Open();
  conversation.Open();
  conversation.Send(Direction::kFromPod, kGet);
  EXPECT_EQ(Last().segment.initial_seq[0], TcpConversation::kClientIsn);
  EXPECT_EQ(Last().segment.initial_seq[1], TcpConversation::kServerIsn);
}

TEST_F(CopyPolicyTest, FullConnectionTableIsCounted) {
  CaptureHarness harness({.l3_base = 0, .max_connections = 64});
  for (uint16_t port = 1000; port < 1200; ++port) {
    TcpConversation conversation(harness, port);
    conversation.Open();
    conversation.Send(Direction::kFromPod, kGet);
  }
  EXPECT_EQ(harness.Count(PT_COUNT_COPIED) + harness.Count(PT_COUNT_TABLE_FULL), 200u);
  EXPECT_GT(harness.Count(PT_COUNT_TABLE_FULL), 100u);
  EXPECT_EQ(harness.Records().size(), harness.Count(PT_COUNT_COPIED));
}

TEST_F(CopyPolicyTest, BodiesAreSampledWhenTheRingIsHalfFull) {
  CaptureHarness harness({.l3_base = 0, .ring_bytes = 64 * 1024});
  TcpConversation conversation(harness);
  conversation.Open();
  conversation.Send(Direction::kFromPod, kGet);
  conversation.Send(Direction::kToPod, kHead);
  for (int i = 0; i < 60; ++i) {
    conversation.Send(Direction::kToPod, std::string(1000, 'b'));
  }
  EXPECT_GT(harness.Count(PT_COUNT_SAMPLED), 20u);
  EXPECT_EQ(harness.Count(PT_COUNT_RING_FULL), 0u);
  const Recorded last = harness.Records().back();
  EXPECT_EQ(last.segment.wire_len, 1000u);
  EXPECT_EQ(last.head.size(), 128u);
  EXPECT_EQ(last.tail.size(), static_cast<size_t>(PT_TAIL_BYTES));
}

TEST_F(CopyPolicyTest, SweepRemovesOnlyIdleConnections) {
  TcpConversation old_one(harness_, 1001);
  old_one.Open();
  old_one.Send(Direction::kFromPod, kGet);
  const int64_t between = Last().segment.time_ns + 1;
  TcpConversation new_one(harness_, 1002);
  new_one.Open();
  new_one.Send(Direction::kFromPod, kGet);
  EXPECT_EQ(map_.Sweep(between), 1u);
  EXPECT_EQ(map_.Sweep(between), 0u);
  old_one.Send(Direction::kToPod, "body");
  EXPECT_EQ(harness_.Count(PT_COUNT_MIDSTREAM), 1u);
  new_one.Send(Direction::kFromPod, "more");
  EXPECT_EQ(Last().head, "more");
}

}  // namespace
}  // namespace podtap::testing
