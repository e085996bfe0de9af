// Several rings: which of them a connection's records go to, and what each account says.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "bpf/capture_abi.h"
#include "tests/bpf/tcp_conversation.h"
#include "tests/support/capture_harness.h"

namespace podtap::testing {
namespace {

using capture::Direction;
using capture::TapId;

constexpr TapId kFlooding{1, 1};
constexpr TapId kQuiet{2, 1};
constexpr uint32_t kRings = 4;
constexpr uint16_t kConnections = 64;

class RingsTest : public ::testing::Test {
 protected:
  CaptureHarness harness_{
      {.l3_base = 0, .rings = kRings, .ring_bytes = 64 * 1024, .max_connections = 1000}};
};

TEST_F(RingsTest, EachConnectionHasOneRingInBothDirectionsAndAllRingsAreUsed) {
  for (uint16_t i = 0; i < kConnections; ++i) {
    TcpConversation conversation(harness_, static_cast<uint16_t>(40000 + i));
    conversation.Open();
    for (int exchange = 0; exchange < 2; ++exchange) {
      conversation.Send(Direction::kFromPod, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
      conversation.Send(Direction::kToPod, "HTTP/1.1 204 No Content\r\n\r\n");
    }
    conversation.Send(Direction::kFromPod, "", kFin | kAck);
  }
  std::map<uint16_t, std::set<uint32_t>> rings_of_port;
  std::map<uint32_t, int> records_of_ring;
  for (const Recorded& recorded : harness_.Records()) {
    rings_of_port[recorded.segment.key.local_port].insert(recorded.ring);
    ++records_of_ring[recorded.ring];
  }
  EXPECT_EQ(rings_of_port.size(), kConnections);
  for (const auto& [port, rings] : rings_of_port) {
    EXPECT_EQ(rings.size(), 1u) << port;
  }
  ASSERT_EQ(records_of_ring.size(), kRings);
  for (const auto& [ring, records] : records_of_ring) {
    // A fair coin with four sides is that far off once in some ten thousand tries.
    EXPECT_GE(records, 5 * kConnections / kRings / 3) << ring;
  }
  EXPECT_EQ(harness_.Count(PT_TALLY_RECORDS), harness_.Records().size());
}

TEST_F(RingsTest, TapsOfOneConnectionMayDifferInTheirRings) {
  std::set<uint32_t> rings;
  for (uint32_t slot = 1; slot <= 32; ++slot) {
    TcpConversation conversation(harness_, 40000, {slot, 1});
    conversation.Open();
    conversation.Send(Direction::kFromPod, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  for (const Recorded& recorded : harness_.Records()) {
    rings.insert(recorded.ring);
  }
  EXPECT_GT(rings.size(), 1u);
}

TEST_F(RingsTest, RingThatIsFullRefusesItsOwnAlone) {
  const std::string request = "GET / HTTP/1.1\r\nX: " + std::string(900, 'x') + "\r\n\r\n";
  TcpConversation flood(harness_, 40000, kFlooding);
  flood.Open();
  for (int i = 0; i < 200; ++i) {
    flood.Send(Direction::kFromPod, request);
  }
  EXPECT_GT(harness_.Count(PT_COUNT_FAIR_SHARE, kFlooding), 0u);
  // Held in one ring, it is nothing that another ring's share looks at.
  for (uint16_t i = 0; i < kConnections; ++i) {
    TcpConversation conversation(harness_, static_cast<uint16_t>(41000 + i), kQuiet);
    conversation.Open();
    conversation.Send(Direction::kFromPod, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  EXPECT_EQ(harness_.Count(PT_COUNT_COPIED, kQuiet), kConnections);
  // What was read is given back to the tap, in the ring it was held in.
  harness_.Records();
  const uint64_t refused = harness_.Count(PT_COUNT_FAIR_SHARE, kFlooding);
  flood.Send(Direction::kFromPod, request);
  EXPECT_EQ(harness_.Count(PT_COUNT_FAIR_SHARE, kFlooding), refused);
}

TEST(RingOptionsTest, NumberOfRingsIsBounded) {
  EXPECT_TRUE(capture::CheckProgramOptions({.rings = PT_MAX_RINGS}).ok());
  EXPECT_FALSE(capture::CheckProgramOptions({.rings = 0}).ok());
  EXPECT_THAT(std::string(capture::CheckProgramOptions({.rings = PT_MAX_RINGS + 1}).message()),
              ::testing::HasSubstr("--rings: 17 is not in 1..16"));
}

}  // namespace
}  // namespace podtap::testing
