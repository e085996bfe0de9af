// Real connections over a veth, and over loopback: what the tap reports of their bytes, with
// offloads on and off.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <thread>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_format.h"
#include "bpf/capture_abi.h"
#include "tests/support/capture_harness.h"
#include "tests/support/netns.h"
#include "tests/support/wait.h"

namespace podtap::testing {
namespace {

using capture::Direction;

enum class Offloads { kOff, kDefault, kBigTcp };

struct TrafficCase {
  const char* name;
  bool v6;
  Offloads offloads;
  // Client and server are both in the pod.
  bool loopback = false;
};

void PrintTo(const TrafficCase& traffic, std::ostream* out) { *out << traffic.name; }

// Byte at a position of the response stream, after its head.
char PatternAt(uint64_t position) { return static_cast<char>('a' + position * 7 % 23); }

sockaddr_in6 Address(bool v6, bool pod) {
  // The v4-mapped form works with IPv6 sockets for both.
  const char* text =
      v6 ? (pod ? "fd00:98::2" : "fd00:98::1") : (pod ? "::ffff:10.98.0.2" : "::ffff:10.98.0.1");
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(8080);
  inet_pton(AF_INET6, text, &address.sin6_addr);
  return address;
}

void WriteAll(int fd, const std::string& bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::write(fd, bytes.data() + done, bytes.size() - done);
    ASSERT_GT(n, 0);
    done += static_cast<size_t>(n);
  }
}

// Packets that the calling thread's loopback has received.
uint64_t ReceivedOnLoopback() {
  std::ifstream devices("/proc/thread-self/net/dev");
  std::string word;
  while (devices >> word && word != "lo:") {
  }
  uint64_t bytes = 0;
  uint64_t packets = 0;
  devices >> bytes >> packets;
  EXPECT_TRUE(devices.good());
  return packets;
}

// Turns offloads off in the pod, and on the host's side of its interface.
void TurnOffloadsOff(const PodNetns& pod, bool loopback) {
  constexpr char kOff[] = "ethtool -K %s tso off gso off gro off tx off sg off";
  const std::string inside = "nsenter --net=/run/netns/" + pod.name() + " ";
  if (loopback) {
    RunCommand(inside + absl::StrFormat(kOff, "lo") + "; " + inside + "ip link set lo mtu 1500");
  } else {
    RunCommand(absl::StrFormat(kOff, pod.host_interface()));
    RunCommand(inside + absl::StrFormat(kOff, "eth0"));
  }
}

class LiveTrafficTest : public ::testing::TestWithParam<TrafficCase> {};

TEST_P(LiveTrafficTest, EveryByteIsCoveredAndCopiedBytesAreRight) {
  const TrafficCase& param = GetParam();
  PodNetns pod("live");
  pod.AddAddresses("10.98.0.1/24", "10.98.0.2/24");
  if (param.v6) {
    pod.AddAddresses("fd00:98::1/64", "fd00:98::2/64");
  }
  if (param.offloads == Offloads::kBigTcp && !pod.AllowBigTcp()) {
    GTEST_SKIP() << "this kernel makes no segments of more than 64 KiB";
  }
  if (param.offloads == Offloads::kOff) {
    TurnOffloadsOff(pod, param.loopback);
  }
  CaptureHarness harness({});
  uint64_t packets_before = 0;
  if (param.loopback) {
    pod.Inside([&] {
      harness.Attach(::if_nametoindex("lo"), capture::Polarity::kLoopback);
      packets_before = ReceivedOnLoopback();
    });
  } else {
    harness.Attach(pod.host_interface_index());
  }

  const std::string request = "GET /big HTTP/1.1\r\nHost: pod\r\n\r\n";
  const size_t body_size = 3'000'000;
  // Of a body whose length was told, nothing would be copied.
  std::string response = "HTTP/1.1 200 OK\r\n\r\n";
  const size_t head_size = response.size();
  for (size_t i = 0; i < body_size; ++i) {
    response += PatternAt(i);
  }
  UniqueFd listener;
  pod.Inside([&] {
    listener = UniqueFd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    any.sin6_port = htons(8080);
    ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&any), sizeof(any)), 0);
    ASSERT_EQ(::listen(listener.get(), 1), 0);
  });
  std::jthread server([&] {
    const UniqueFd accepted(::accept(listener.get(), nullptr, nullptr));
    char buffer[4096];
    ASSERT_EQ(::read(accepted.get(), buffer, sizeof(buffer)), static_cast<ssize_t>(request.size()));
    WriteAll(accepted.get(), response);
  });
  // When the test ends early, it waits for nobody.
  const absl::Cleanup stop = [&] { ::shutdown(listener.get(), SHUT_RDWR); };
  UniqueFd client(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (param.loopback) {
    pod.Inside([&] { client = UniqueFd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)); });
  }
  const sockaddr_in6 address = Address(param.v6, true);
  ASSERT_EQ(::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
            0)
      << strerror(errno);
  WriteAll(client.get(), request);
  size_t received = 0;
  std::vector<char> buffer(1 << 20);
  for (ssize_t n; (n = ::read(client.get(), buffer.data(), buffer.size())) > 0;) {
    received += static_cast<size_t>(n);
    harness.Records();  // keep room in the ring
  }
  server.join();
  ASSERT_EQ(received, response.size());

  ASSERT_TRUE(WaitUntil([&] {
    const std::vector<Recorded>& all = harness.Records();
    return std::any_of(all.begin(), all.end(), [](const Recorded& one) { return one.segment.fin; });
  }));
  const std::vector<Recorded>& records = harness.Records();
  EXPECT_EQ(records.front().head, request);
  EXPECT_EQ(records.front().segment.client, Direction::kToPod);
  // Ranges of the response that records cover, by position.
  std::map<uint64_t, uint64_t> covered;
  uint64_t longest = 0;
  for (const Recorded& record : records) {
    const capture::Segment& segment = record.segment;
    if (segment.direction != Direction::kFromPod || segment.wire_len == 0) {
      continue;
    }
    const uint64_t position = segment.seq - *segment.initial_seq[PT_FROM_POD] - 1;
    covered[position] = std::max(covered[position], position + segment.wire_len);
    longest = std::max<uint64_t>(longest, segment.wire_len);
    ASSERT_EQ(record.head, response.substr(position, record.head.size()));
    ASSERT_EQ(record.tail, response.substr(position + segment.wire_len - record.tail.size(),
                                           record.tail.size()));
    ASSERT_GT(record.head.size(), 0u);
  }
  uint64_t reached = 0;
  for (const auto& [begin, end] : covered) {
    ASSERT_LE(begin, reached) << "a hole before " << begin;
    reached = std::max(reached, end);
  }
  EXPECT_EQ(reached, head_size + body_size);
  if (param.loopback) {
    // Each packet once, though it leaves and comes in again. Some may be sent twice, even here.
    pod.Inside([&] { EXPECT_EQ(harness.Packets(), ReceivedOnLoopback() - packets_before); });
  }
  // Offloads make the difference that this test is about.
  EXPECT_EQ(longest > 1500, param.offloads != Offloads::kOff) << longest;
  EXPECT_EQ(longest > 65'536, param.offloads == Offloads::kBigTcp) << longest;
  EXPECT_EQ(harness.Count(PT_COUNT_SAMPLED) > 0, param.offloads != Offloads::kOff);
  EXPECT_EQ(harness.Count(PT_COUNT_READ_FAILED), 0u);
  EXPECT_EQ(harness.Count(PT_COUNT_RING_FULL), 0u);
  EXPECT_EQ(harness.Count(PT_COUNT_MALFORMED), 0u);
}

INSTANTIATE_TEST_SUITE_P(
    All, LiveTrafficTest,
    ::testing::Values(TrafficCase{"v4_offloads", false, Offloads::kDefault},
                      TrafficCase{"v4_plain", false, Offloads::kOff},
                      TrafficCase{"v4_big_tcp", false, Offloads::kBigTcp},
                      TrafficCase{"v6_offloads", true, Offloads::kDefault},
                      TrafficCase{"v6_plain", true, Offloads::kOff},
                      TrafficCase{"v6_big_tcp", true, Offloads::kBigTcp},
                      TrafficCase{"v4_loopback", false, Offloads::kDefault, true},
                      TrafficCase{"v6_loopback", true, Offloads::kDefault, true},
                      TrafficCase{"v4_loopback_plain", false, Offloads::kOff, true}),
    [](const auto& param) { return param.param.name; });

TEST(PacketTapTest, NoticesThatItsInterfaceIsGone) {
  CaptureHarness harness({});
  PodNetns pod("gone");
  const auto dispatcher = harness.program().MakeDispatcher({1, 1}, capture::Polarity::kHostSide);
  ASSERT_TRUE(dispatcher.ok());
  const auto tap = capture::PacketTap::Open(pod.host_interface_index(), dispatcher->get());
  ASSERT_TRUE(tap.ok());
  EXPECT_TRUE(tap->IsBound());
  RunCommand("ip link set " + pod.host_interface() + " down");
  EXPECT_TRUE(tap->IsBound());
  pod.Remove();
  EXPECT_TRUE(WaitUntil([&] { return !tap->IsBound(); }));
}

TEST(PacketTapTest, MissingInterfaceIsNotFound) {
  CaptureHarness harness({});
  const auto dispatcher = harness.program().MakeDispatcher({1, 1}, capture::Polarity::kHostSide);
  ASSERT_TRUE(dispatcher.ok());
  EXPECT_EQ(capture::PacketTap::Open(999'999, dispatcher->get()).status().code(),
            absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace podtap::testing
