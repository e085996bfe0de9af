// Loopback, where both ends are the pod's: which is taken for the local one, and that each packet
// counts once although it crosses twice. One table, through test-run and live.
#include <gtest/gtest.h>
#include <net/if.h>

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "bpf/capture_abi.h"
#include "tests/support/capture_harness.h"
#include "tests/support/netns.h"
#include "tests/support/wait.h"

namespace podtap::testing {
namespace {

using capture::Direction;
using capture::Polarity;

constexpr char kGet[] = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
constexpr char kOk[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
constexpr uint32_t kClientIsn = 1000;
constexpr uint32_t kServerIsn = 5000;

struct End {
  std::string address;
  uint16_t port;
};

struct LoopbackRow {
  std::string name;
  End client;
  End server;
  bool client_is_local;
};

void PrintTo(const LoopbackRow& row, std::ostream* out) { *out << row.name; }

std::vector<LoopbackRow> Rows() {
  return {
      {"server_port_is_lower", {"127.0.0.1", 40000}, {"127.0.0.1", 80}, false},
      {"client_port_is_lower", {"127.0.0.1", 40000}, {"127.0.0.1", 50000}, true},
      {"port_wins_over_address", {"127.0.0.1", 40000}, {"127.0.0.2", 80}, false},
      {"ports_differ_in_the_high_byte_only", {"127.0.0.1", 0x1280}, {"127.0.0.1", 0x1180}, false},
      {"equal_ports_client_address_is_lower", {"127.0.0.1", 8080}, {"127.0.0.2", 8080}, true},
      {"equal_ports_server_address_is_lower", {"127.0.0.2", 8080}, {"127.0.0.1", 8080}, false},
      {"equal_ports_first_bytes_count_most", {"127.0.1.2", 8080}, {"127.0.2.1", 8080}, true},
      {"v6", {"::1", 40000}, {"::1", 80}, false},
      {"v6_equal_ports", {"2001:db8::9", 8080}, {"fd00::1", 8080}, true},
      {"v6_equal_ports_reversed", {"fd00::1", 8080}, {"2001:db8::9", 8080}, false},
      {"v6_equal_ports_last_bytes_differ", {"fd00::2", 8080}, {"fd00::1", 8080}, false},
      {"the_pods_own_address", {"192.0.2.1", 40000}, {"192.0.2.1", 80}, false},
      {"addresses_of_others", {"198.51.100.7", 40000}, {"192.0.2.1", 80}, false},
  };
}

Packet From(const End& source, const End& destination, uint32_t seq) {
  Packet packet;
  if (source.address.find(':') != std::string::npos) {
    packet.V6(source.address, destination.address);
  } else {
    packet.V4(source.address, destination.address);
  }
  return packet.Tcp(source.port, destination.port).Seq(seq);
}

class LoopbackTest : public ::testing::TestWithParam<LoopbackRow> {
 protected:
  // A handshake, a request and its response.
  static std::vector<Bytes> Frames() {
    const auto& [name, client, server, client_is_local] = GetParam();
    return {From(client, server, kClientIsn).Flags(kSyn).Frame(),
            From(server, client, kServerIsn).Flags(kSyn | kAck).Frame(),
            From(client, server, kClientIsn + 1).Payload(kGet).Frame(),
            From(server, client, kServerIsn + 1).Payload(kOk).Frame()};
  }
  static void Check(CaptureHarness& harness) {
    const auto& [name, client, server, client_is_local] = GetParam();
    EXPECT_EQ(harness.Packets(), 4u);
    EXPECT_EQ(harness.Count(PT_COUNT_NO_PAYLOAD), 2u);
    EXPECT_EQ(harness.Count(PT_COUNT_COPIED), 2u);
    const std::vector<Recorded>& records = harness.Records();
    ASSERT_EQ(records.size(), 2u);
    EXPECT_EQ(records[0].head, kGet);
    EXPECT_EQ(records[1].head, kOk);
    // Both have one key, and different directions.
    EXPECT_EQ(records[0].segment.key, records[1].segment.key);
    const Direction of_client = client_is_local ? Direction::kFromPod : Direction::kToPod;
    EXPECT_EQ(records[0].segment.direction, of_client);
    EXPECT_EQ(records[1].segment.direction, capture::Opposite(of_client));
    const capture::Segment& segment = records[1].segment;
    const End& local = client_is_local ? client : server;
    const End& remote = client_is_local ? server : client;
    EXPECT_EQ(segment.key.local, IpAddress::Parse(local.address));
    EXPECT_EQ(segment.key.local_port, local.port);
    EXPECT_EQ(segment.key.remote, IpAddress::Parse(remote.address));
    EXPECT_EQ(segment.key.remote_port, remote.port);
    EXPECT_EQ(segment.client, of_client);
    EXPECT_EQ(segment.initial_seq[static_cast<size_t>(of_client)], kClientIsn);
    EXPECT_EQ(segment.initial_seq[static_cast<size_t>(capture::Opposite(of_client))], kServerIsn);
  }
};

TEST_P(LoopbackTest, TestRun) {
  CaptureHarness harness({.l3_base = 0});
  for (const Bytes& frame : Frames()) {
    harness.TestRunOnLoopback(frame);
  }
  Check(harness);
}

TEST_P(LoopbackTest, Live) {
  const PodNetns pod("lo");
  CaptureHarness harness({});
  pod.Inside([&] {
    harness.Attach(::if_nametoindex("lo"), Polarity::kLoopback);
    uint64_t sent = 0;
    for (const Bytes& frame : Frames()) {
      SendFrame("lo", frame);
      ++sent;
      ASSERT_TRUE(WaitUntil([&] { return harness.Packets() >= sent; }));
    }
  });
  Check(harness);
}

INSTANTIATE_TEST_SUITE_P(All, LoopbackTest, ::testing::ValuesIn(Rows()),
                         [](const auto& row) { return row.param.name; });

// Nothing tells the ends of a socket that is connected to itself apart.
TEST(LoopbackSelfTest, AnEndThatTalksToItselfIsOneDirection) {
  CaptureHarness harness({.l3_base = 0});
  const End end{"127.0.0.1", 40000};
  harness.TestRunOnLoopback(From(end, end, kClientIsn).Flags(kSyn).Frame());
  harness.TestRunOnLoopback(From(end, end, kClientIsn).Flags(kSyn | kAck).Frame());
  harness.TestRunOnLoopback(From(end, end, kClientIsn + 1).Payload(kGet).Frame());
  EXPECT_EQ(harness.Packets(), 3u);
  const std::vector<Recorded>& records = harness.Records();
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].segment.direction, Direction::kFromPod);
  EXPECT_EQ(records[0].segment.client, Direction::kFromPod);
}

// What has no ports is from the pod.
TEST(LoopbackSelfTest, PacketsThatAreNotTcpAreCounted) {
  CaptureHarness harness({.l3_base = 0});
  harness.TestRunOnLoopback(Packet().V4("127.0.0.1", "127.0.0.1").Protocol(17).Frame());
  EXPECT_EQ(harness.program()
                .ReadCounters(CaptureHarness::kTap.slot)
                .value()[PT_COUNT_NOT_TCP]
                .by_direction[PT_FROM_POD]
                .count,
            1u);
}

}  // namespace
}  // namespace podtap::testing
