// Taps as a set: slots, generations, counters that outlive a tap, and ends.
#include "agent/capture/tap_set.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <mutex>

#include "tests/support/netns.h"
#include "tests/support/wait.h"

namespace podtap::testing {
namespace {

using capture::CaptureProgram;
using capture::Polarity;
using capture::TapId;
using capture::TapSet;

class TapSetTest : public ::testing::Test {
 protected:
  TapSetTest() : program_(CaptureProgram::Load({}).value()) {}

  void OnClosed(TapId tap) {
    const std::lock_guard lock(mutex_);
    closed_.push_back(tap);
  }
  std::vector<TapId> closed() {
    const std::lock_guard lock(mutex_);
    return closed_;
  }

  std::mutex mutex_;
  std::vector<TapId> closed_;
  CaptureProgram program_;
  TapSet taps_{program_, [this](TapId tap) { OnClosed(tap); }};
};

uint64_t Packets(const TapSet& taps) {
  const capture::TapCounters totals = taps.ReadAll().value().totals;
  uint64_t sum = 0;
  for (size_t reason = 0; reason < PT_COUNT_REASONS; ++reason) {
    sum += totals[reason].count();
  }
  return sum;
}

// One datagram to a pod, and what the kernel makes of it.
void SendDatagram(const char* to) {
  const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(9);
  ASSERT_EQ(::inet_pton(AF_INET, to, &address.sin_addr), 1);
  ASSERT_EQ(
      ::sendto(fd.get(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
      1);
}

TEST_F(TapSetTest, CountersOutliveTheirTapAndSlotsAreUsedAgain) {
  PodNetns pod("tapset");
  pod.AddAddresses("10.98.3.1/24", "10.98.3.2/24");
  const TapId first = taps_.Reserve().value();
  ASSERT_TRUE(taps_.Open(first, pod.host_interface_index(), Polarity::kHostSide).ok());
  SendDatagram("10.98.3.2");
  // ARP both ways and the datagram.
  ASSERT_TRUE(WaitUntil([&] { return Packets(taps_) >= 3; }));
  const uint64_t seen = Packets(taps_);
  taps_.Close(first);
  ASSERT_TRUE(WaitUntil([&] { return closed().size() == 1; }));
  EXPECT_EQ(closed()[0], first);
  EXPECT_GE(Packets(taps_), seen);
  const uint64_t after_close = Packets(taps_);
  SendDatagram("10.98.3.2");
  EXPECT_EQ(Packets(taps_), after_close);

  const TapId second = taps_.Reserve().value();
  EXPECT_EQ(second.slot, first.slot);
  EXPECT_NE(second.generation, first.generation);
  ASSERT_TRUE(taps_.Open(second, pod.host_interface_index(), Polarity::kHostSide).ok());
  EXPECT_EQ(program_.ReadCounters(second.slot).value()[PT_COUNT_NOT_TCP].count(), 0u);
}

TEST_F(TapSetTest, FailedOpenGivesTheSlotBack) {
  const TapId first = taps_.Reserve().value();
  EXPECT_TRUE(absl::IsNotFound(taps_.Open(first, 999'999, Polarity::kHostSide)));
  EXPECT_EQ(taps_.Reserve().value().slot, first.slot);
}

TEST_F(TapSetTest, SlotsAreBounded) {
  for (int i = 0; i < PT_MAX_TAPS; ++i) {
    ASSERT_TRUE(taps_.Reserve().ok());
  }
  EXPECT_TRUE(absl::IsResourceExhausted(taps_.Reserve().status()));
}

TEST_F(TapSetTest, CloseAllWaitsForEveryTap) {
  const PodNetns pod("closeall");
  for (int i = 0; i < 40; ++i) {
    const TapId tap = taps_.Reserve().value();
    ASSERT_TRUE(taps_.Open(tap, pod.host_interface_index(), Polarity::kHostSide).ok());
  }
  EXPECT_EQ(taps_.open_count(), 40u);
  taps_.CloseAll();
  EXPECT_EQ(closed().size(), 40u);
  EXPECT_EQ(taps_.open_count(), 0u);
}

}  // namespace
}  // namespace podtap::testing
