// Bodies whose end the kernel side finds by itself, through test-run: what is copied and what is
// not.
#include <gtest/gtest.h>

#include "absl/strings/str_format.h"
#include "bpf/capture_abi.h"
#include "tests/bpf/tcp_conversation.h"
#include "tests/support/capture_harness.h"

namespace podtap::testing {
namespace {

using capture::Direction;

constexpr Direction kClient = Direction::kFromPod;
constexpr Direction kServer = Direction::kToPod;
constexpr char kGet[] = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

std::string Post(size_t length) {
  return absl::StrFormat("POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", length);
}

std::string Ok(size_t length) {
  return absl::StrFormat("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", length);
}

std::string Body(size_t length) { return std::string(length, 'b'); }

class KnownBodiesTest : public ::testing::Test {
 protected:
  KnownBodiesTest() { conversation_.Open(); }

  void Send(Direction direction, const std::string& payload) {
    conversation_.Send(direction, payload);
  }
  // What came of it since the last call: bytes as they are, "<N>" for N bytes without copy.
  std::vector<std::string> Seen() {
    std::vector<std::string> seen;
    const std::vector<Recorded>& records = harness_.Records();
    for (; shown_ < records.size(); ++shown_) {
      const Recorded& record = records[shown_];
      const size_t missing = record.segment.wire_len - record.head.size() - record.tail.size();
      EXPECT_EQ(record.segment.coalesced, record.head.empty() && missing > 0);
      seen.push_back(missing > 0 ? absl::StrFormat("%s<%d>%s", record.head, missing, record.tail)
                                 : record.head);
    }
    return seen;
  }
  using Strings = std::vector<std::string>;

  CaptureHarness harness_{{.l3_base = 0, .capture_bytes = 256, .max_connections = 1000}};
  TcpConversation conversation_{harness_};
  size_t shown_ = 0;
};

TEST_F(KnownBodiesTest, OfARequestTheHeadIsCopiedAndTheBodyIsOneRun) {
  Send(kClient, Post(4000) + Body(1000));
  EXPECT_EQ(Seen(), Strings{Post(4000)});
  Send(kClient, Body(1500));
  EXPECT_EQ(Seen(), Strings{});
  Send(kClient, Body(1500));
  EXPECT_EQ(Seen(), Strings{"<4000>"});
  EXPECT_EQ(harness_.Count(PT_COUNT_SAMPLED), 1u);
  EXPECT_EQ(harness_.Count(PT_COUNT_SKIPPED), 2u);
  Send(kClient, kGet);
  EXPECT_EQ(Seen(), Strings{kGet});
}

TEST_F(KnownBodiesTest, RequestsBehindBodiesAreCopiedWhereverTheyStart) {
  Send(kClient, Post(600) + Body(600) + Post(0) + Post(700) + Body(700) + Post(1000) + Body(400));
  EXPECT_EQ(Seen(), (Strings{Post(600), "<600>", Post(0), Post(700), "<700>", Post(1000)}));
  Send(kClient, Body(600) + kGet + Post(20) + Body(20));
  EXPECT_EQ(Seen(), (Strings{"<1000>", kGet + Post(20) + Body(20)}));
}

TEST_F(KnownBodiesTest, TextInABodyIsNoRequest) {
  const std::string trap = Post(9) + kGet;
  Send(kClient, Post(300 + 10 * trap.size()) + Body(300));
  for (int i = 0; i < 10; ++i) {
    Send(kClient, trap);
  }
  EXPECT_EQ(Seen(), (Strings{Post(300 + 10 * trap.size()),
                             absl::StrFormat("<%d>", 300 + 10 * trap.size())}));
}

TEST_F(KnownBodiesTest, HeadCutAnywhereBetweenSegmentsIsFound) {
  const std::string first = Post(300) + Body(300);
  const std::string second = Post(1000);
  for (size_t cut = 1; cut < second.size(); ++cut) {
    SCOPED_TRACE(cut);
    Send(kClient, first + second.substr(0, cut));
    EXPECT_EQ(Seen(), (Strings{Post(300), "<300>", second.substr(0, cut)}));
    Send(kClient, second.substr(cut) + Body(500));
    EXPECT_EQ(Seen(), Strings{second.substr(cut)});
    Send(kClient, Body(500) + kGet);
    EXPECT_EQ(Seen(), (Strings{"<1000>", kGet}));
  }
}

TEST_F(KnownBodiesTest, HeadIsFoundAtAnyLengthUpTo4KiB) {
  for (size_t length : {0, 1, 7, 8, 15, 16, 17, 40, 63, 64, 65, 200, 1000, 2000}) {
    const std::string head = "POST / HTTP/1.1\r\nX: " + std::string(length, 'x') +
                             "\r\ncOnTeNt-LeNgTh:2000\r\nA: b\r\n\r\n";
    Send(kClient, head + Body(300));
    EXPECT_EQ(Seen(), Strings{head}) << length;
    Send(kClient, Body(1700));
    EXPECT_EQ(Seen(), Strings{"<2000>"});
  }
}

TEST_F(KnownBodiesTest, HeadAloneInItsSegmentTellsOfTheBodyToCome) {
  Send(kClient, Post(500));
  Send(kClient, Body(500) + Post(300));
  EXPECT_EQ(Seen(), (Strings{Post(500), "<500>", Post(300)}));
  Send(kClient, Body(300));
  EXPECT_EQ(Seen(), Strings{"<300>"});
}

TEST_F(KnownBodiesTest, WhereTheHeadLeavesDoubtNothingIsLeftOut) {
  const std::string start = "POST /p HTTP/1.1\r\n";
  for (const std::string fields :
       {"Content-Length: 500\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 500\r\n",
        "transfer-ENCODING : chunked\r\nContent-Length: 500\r\n",
        "Content-Length: 500\r\nContent-Length: 500\r\n", "Content-Length: 500, 500\r\n",
        "Content-Length : 500\r\n", "Content-Length: +500\r\n", "Content-Length: 500 \r\n",
        "Content-Length:\r\n 500\r\n", "Content-Length: 5000000000\r\n", "Content-Length:\r\n",
        "Content-Length: 500\n", "Content-Length: 99999999999999999999999999\r\n",
        "X-Content-Length: 500\r\n", "Content-Lengthy: 500\r\n", "Host: h\r\n"}) {
    const std::string payload = start + fields + "\r\n" + Body(500);
    Send(kClient, payload);
    EXPECT_EQ(Seen(), Strings{payload}) << fields;
  }
}

TEST_F(KnownBodiesTest, OfALargeResponseTheHeadIsCopied) {
  Send(kClient, kGet);
  Send(kServer, Ok(2000) + Body(1000));
  Send(kServer, Body(1000) + Ok(700) + Body(700));
  EXPECT_EQ(Seen(), (Strings{kGet, Ok(2000), "<2000>", Ok(700), "<700>"}));
}

TEST_F(KnownBodiesTest, ResponseToHeadHasNoBody) {
  const std::string long_head =
      "HTTP/1.1 200 OK\r\nX: " + std::string(300, 'x') + "\r\nContent-Length: 1500\r\n\r\n";
  Send(kClient, "HEAD /a HTTP/1.1\r\n\r\n");
  // In one segment with what follows, and in one of its own.
  Send(kServer, long_head + Ok(300) + Body(300));
  Send(kServer, long_head);
  Send(kServer, Ok(400) + Body(400));
  Send(kServer, long_head);
  Send(kServer, "HT");
  EXPECT_EQ(Seen(), (Strings{"HEAD /a HTTP/1.1\r\n\r\n", long_head, Ok(300), "<300>", long_head,
                             Ok(400), "<400>", long_head, "HT"}));
}

TEST_F(KnownBodiesTest, BodyBehindAHeadThatFillsItsSegmentIsNotCopied) {
  const std::string head =
      "HTTP/1.1 200 OK\r\nX: " + std::string(300, 'x') + "\r\nContent-Length: 1500\r\n\r\n";
  Send(kClient, kGet);
  Send(kServer, head);
  Send(kServer, Body(800));
  Send(kServer, Body(700));
  EXPECT_EQ(Seen(), (Strings{kGet, head, "<1500>"}));
}

TEST_F(KnownBodiesTest, SegmentsOutOfOrderAreAllToldAndNoneThatWasNotSeen) {
  Send(kClient, Post(1500));
  Seen();
  const uint32_t seq = conversation_.seq(kClient);
  conversation_.SendAt(kClient, seq + 700, Body(400));
  conversation_.SendAt(kClient, seq, Body(700));
  EXPECT_EQ(Seen(), Strings{"<1100>"});
  // The segment across the end comes early as well.
  conversation_.SendAt(kClient, seq + 1300, Body(200) + kGet);
  EXPECT_EQ(Seen(), (Strings{"<200>", kGet}));
  conversation_.SendAt(kClient, seq + 1100, Body(200));
  EXPECT_EQ(Seen(), Strings{"<200>"});
}

TEST_F(KnownBodiesTest, RunCoversSegmentsThatCameLate) {
  Send(kClient, Post(1500));
  Seen();
  const uint32_t seq = conversation_.seq(kClient);
  conversation_.SendAt(kClient, seq + 400, Body(1100));
  conversation_.SendAt(kClient, seq, Body(400));
  EXPECT_EQ(Seen(), (Strings{"<1100>", "<400>"}));
  conversation_.SendAt(kClient, seq + 1500, kGet, kFin | kAck);
  EXPECT_EQ(Seen(), Strings{kGet});
}

TEST_F(KnownBodiesTest, HeadSentAgainChangesNothing) {
  const uint32_t seq = conversation_.seq(kClient);
  Send(kClient, Post(300) + Body(300) + Post(1000) + Body(100));
  Seen();
  conversation_.SendAt(kClient, seq, Post(300) + Body(300));
  Seen();
  Send(kClient, Body(900) + kGet);
  EXPECT_EQ(Seen(), (Strings{"<1000>", kGet}));
}

TEST_F(KnownBodiesTest, FinOnABodysLastSegmentIsTold) {
  Send(kClient, Post(500) + Body(300));
  conversation_.Send(kClient, Body(200), kFin | kAck);
  EXPECT_EQ(Seen(), (Strings{Post(500), "<500>", ""}));
  EXPECT_TRUE(harness_.Records().back().segment.fin);
  conversation_.Send(kServer, Ok(300) + Body(300), kFin | kAck);
  EXPECT_EQ(Seen(), (Strings{Ok(300), "<300>", ""}));
  EXPECT_TRUE(harness_.Records().back().segment.fin);
}

}  // namespace
}  // namespace podtap::testing
