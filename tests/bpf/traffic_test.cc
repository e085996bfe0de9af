// What the packets of a tap are of, and which way they go, through test-run.
#include <gtest/gtest.h>

#include <string>

#include "agent/capture/connection_map.h"
#include "agent/capture/tap_counters.h"
#include "bpf/capture_abi.h"
#include "tests/bpf/tcp_conversation.h"
#include "tests/support/capture_harness.h"

namespace podtap::testing {
namespace {

using capture::Direction;
using capture::TcpPackets;
using capture::Traffic;
using capture::TrafficClass;

constexpr char kGet[] = "GET /a HTTP/1.1\r\n\r\n";
constexpr char kOk[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n";
constexpr char kPreface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const std::string kHello("\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03", 11);

class TrafficTest : public ::testing::Test {
 protected:
  capture::TapCounters Counters() const {
    return harness_.program().ReadCounters(CaptureHarness::kTap.slot).value();
  }
  // Expects all payloads so far to be of one class, that many each way.
  void ExpectAll(TrafficClass expected, uint64_t from_pod, uint64_t to_pod) {
    const Traffic traffic = capture::TrafficOf(Counters());
    for (size_t i = 0; i < capture::kTrafficClasses; ++i) {
      const bool is_expected = i == static_cast<size_t>(expected);
      EXPECT_EQ(traffic[i].by_direction[0].count, is_expected ? from_pod : 0) << "class " << i;
      EXPECT_EQ(traffic[i].by_direction[1].count, is_expected ? to_pod : 0) << "class " << i;
    }
  }
  // What user space says when nothing more is wanted of the connection.
  void MakeOpaque() {
    capture::ConnectionMap(harness_.program())
        .OnFeedback(harness_.Records().back().segment.key, {.verdict = capture::Verdict::kOpaque});
  }

  CaptureHarness harness_{{.l3_base = 0}};
  TcpConversation conversation_{harness_};
};

TEST_F(TrafficTest, HttpIsCountedByDirectionWithItsBytes) {
  conversation_.Open();
  conversation_.Send(Direction::kFromPod, kGet);
  conversation_.Send(Direction::kToPod, kOk);
  conversation_.Send(Direction::kToPod, "body");
  ExpectAll(TrafficClass::kHttp1, 1, 2);
  const capture::TapCounter http =
      capture::TrafficOf(Counters())[static_cast<size_t>(TrafficClass::kHttp1)];
  EXPECT_EQ(http.by_direction[0].bytes, std::string(kGet).size());
  EXPECT_EQ(http.by_direction[1].bytes, std::string(kOk).size() + 4);
}

TEST_F(TrafficTest, AHeadThatComesInPiecesIsHttpOnceItIsKnown) {
  conversation_.Open();
  conversation_.Send(Direction::kFromPod, "G");
  ExpectAll(TrafficClass::kUnknown, 1, 0);
  conversation_.Send(Direction::kFromPod, "ET / HTTP/1.1\r\n\r\n");
  conversation_.Send(Direction::kToPod, kOk);
  const Traffic traffic = capture::TrafficOf(Counters());
  EXPECT_EQ(traffic[static_cast<size_t>(TrafficClass::kUnknown)].count(), 2u);
  EXPECT_EQ(traffic[static_cast<size_t>(TrafficClass::kHttp1)].count(), 1u);
}

TEST_F(TrafficTest, TlsIsTlsFromItsFirstByteAndBeyondTheVerdict) {
  conversation_.Open();
  conversation_.Send(Direction::kFromPod, kHello);
  conversation_.Send(Direction::kToPod, kHello);
  MakeOpaque();
  conversation_.Send(Direction::kFromPod, "sealed");
  ExpectAll(TrafficClass::kTls, 2, 1);
}

TEST_F(TrafficTest, Http2IsItsOwnClassAndBeyondTheVerdict) {
  conversation_.Open();
  conversation_.Send(Direction::kFromPod, kPreface);
  conversation_.Send(Direction::kToPod, std::string(9, '\0'));
  MakeOpaque();
  conversation_.Send(Direction::kToPod, std::string(9, '\0'));
  ExpectAll(TrafficClass::kHttp2, 1, 2);
}

TEST_F(TrafficTest, WhatSpeaksAnotherProtocolIsOther) {
  conversation_.Open();
  conversation_.Send(Direction::kToPod, "220 mail ready\r\n");
  conversation_.Send(Direction::kFromPod, "EHLO a\r\n");
  ExpectAll(TrafficClass::kOther, 1, 1);
}

TEST_F(TrafficTest, WhatHttpTurnedIntoIsOther) {
  conversation_.Open();
  conversation_.Send(Direction::kFromPod, kGet);
  MakeOpaque();
  conversation_.Send(Direction::kToPod, "frames");
  const Traffic traffic = capture::TrafficOf(Counters());
  EXPECT_EQ(traffic[static_cast<size_t>(TrafficClass::kHttp1)].count(), 1u);
  EXPECT_EQ(traffic[static_cast<size_t>(TrafficClass::kOther)].count(), 1u);
}

TEST_F(TrafficTest, TcpPacketsOfADirectionIncludeThoseWithoutPayload) {
  conversation_.Open();
  conversation_.Send(Direction::kFromPod, kGet);
  conversation_.Send(Direction::kToPod, "");
  conversation_.Send(Direction::kToPod, kOk);
  conversation_.Send(Direction::kToPod, "", kFin | kAck);
  const TcpPackets from_pod = capture::TcpPacketsOf(Counters(), Direction::kFromPod);
  const TcpPackets to_pod = capture::TcpPacketsOf(Counters(), Direction::kToPod);
  EXPECT_EQ(from_pod.all, 2u);
  EXPECT_EQ(from_pod.with_payload, 1u);
  EXPECT_EQ(to_pod.all, 4u);
  EXPECT_EQ(to_pod.with_payload, 1u);
}

}  // namespace
}  // namespace podtap::testing
