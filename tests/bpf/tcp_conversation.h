// One TCP connection under test-run, sequence numbers kept.
#pragma once

#include <cstdint>
#include <string>

#include "tests/support/capture_harness.h"
#include "tests/support/packet_builder.h"

namespace podtap::testing {

// The pod at 192.0.2.1 is the client of 192.0.2.2 port 80. Borrows the harness.
class TcpConversation {
 public:
  static constexpr uint32_t kClientIsn = 1000;
  static constexpr uint32_t kServerIsn = 5000;

  explicit TcpConversation(CaptureHarness& harness, uint16_t port = 40000,
                           capture::TapId tap = CaptureHarness::kTap)
      : harness_(harness), port_(port), tap_(tap) {}

  // The handshake.
  void Open() {
    Run(Make(capture::Direction::kFromPod, kClientIsn).Flags(kSyn), capture::Direction::kFromPod);
    Run(Make(capture::Direction::kToPod, kServerIsn).Flags(kSyn | kAck),
        capture::Direction::kToPod);
  }
  void Send(capture::Direction direction, const std::string& payload, uint8_t flags = kAck) {
    uint32_t& seq = seq_[static_cast<int>(direction)];
    SendAt(direction, seq, payload, flags);
    seq += static_cast<uint32_t>(payload.size());
  }
  void SendAt(capture::Direction direction, uint32_t seq, const std::string& payload,
              uint8_t flags = kAck) {
    Run(Make(direction, seq).Payload(payload).Flags(flags), direction);
  }
  uint32_t seq(capture::Direction direction) const { return seq_[static_cast<int>(direction)]; }

 private:
  Packet Make(capture::Direction direction, uint32_t seq) const {
    return direction == capture::Direction::kFromPod
               ? Packet().V4("192.0.2.1", "192.0.2.2").Tcp(port_, 80).Seq(seq)
               : Packet().V4("192.0.2.2", "192.0.2.1").Tcp(80, port_).Seq(seq);
  }
  void Run(const Packet& packet, capture::Direction direction) {
    harness_.TestRun(packet.Frame(), direction, tap_);
  }

  CaptureHarness& harness_;
  uint16_t port_;
  capture::TapId tap_;
  uint32_t seq_[2] = {kClientIsn + 1, kServerIsn + 1};
};

}  // namespace podtap::testing
