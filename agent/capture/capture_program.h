// Loads the kernel side: open, size, load; makes a dispatcher for each tap; reads its counters.
//
// Everything lives as long as its file descriptors: when the process is gone, however it ended, the
// kernel removes programs, maps and taps.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/capture/segment.h"
#include "bpf/capture_abi.h"
#include "common/unique_fd.h"

struct capture_bpf;

namespace podtap::capture {

// Sizes and settings that are fixed when the program is loaded.
struct ProgramOptions {
  // 14 for live taps, 0 under test-run, where frames start at the network header.
  uint32_t l3_base = 14;
  // Longest payload copied whole; PT_MIN_CAPTURE_BYTES to PT_MAX_CAPTURE_BYTES.
  uint32_t capture_bytes = 4096;
  // Rings; each connection's records are in one of them. 1 to PT_MAX_RINGS.
  uint32_t rings = 1;
  // Of each ring. Power of two, at least 64 KiB.
  uint32_t ring_bytes = 8 << 20;
  uint32_t max_connections = 65'536;
};

// kInvalidArgument names the agent's flag whose value can't be.
absl::Status CheckProgramOptions(const ProgramOptions& options);

// Which way frames go that leave through the tapped interface.
enum class Polarity : uint32_t {
  // From the pod: an interface inside its namespace.
  kPodSide = PT_POD_SIDE,
  // To the pod: the host's side of its interface.
  kHostSide = PT_HOST_SIDE,
  // From the pod to itself: loopback inside its namespace. The order of ports and addresses tells
  // the directions apart; see enum pt_direction.
  kLoopback = PT_LOOPBACK,
};

// Packets counted for one reason.
struct TapCounter {
  // By Direction.
  pt_counter by_direction[2];

  uint64_t count() const { return by_direction[0].count + by_direction[1].count; }
  uint64_t bytes() const { return by_direction[0].bytes + by_direction[1].bytes; }
};

// Counters of one tap slot, summed over CPUs; indexed by enum pt_count.
using TapCounters = std::array<TapCounter, PT_COUNT_SLOTS>;

void Add(TapCounters& sums, const TapCounters& more);

// Owns the loaded program and its maps. Thread-safe after Load: methods only call bpf(2).
class CaptureProgram {
 public:
  // kInvalidArgument names the bad option; other errors say what the kernel lacks or forbids.
  static absl::StatusOr<CaptureProgram> Load(const ProgramOptions& options);
  CaptureProgram(CaptureProgram&&) noexcept;
  CaptureProgram& operator=(CaptureProgram&&) noexcept;
  ~CaptureProgram();

  // A program that tells the shared one which tap a packet is on, and jumps to it.
  absl::StatusOr<UniqueFd> MakeDispatcher(const TapId& tap, Polarity polarity) const;

  absl::StatusOr<TapCounters> ReadCounters(uint32_t slot) const;
  absl::Status ClearCounters(uint32_t slot) const;

  uint32_t rings() const { return static_cast<uint32_t>(rings_.size()); }
  int ring_fd(uint32_t ring) const { return rings_[ring].get(); }
  // Array of 64-bit numbers by PT_RING_ACCOUNT, to be mapped: bytes of each tap that were read.
  int ring_taken_fd() const;
  int connections_fd() const;
  int feedback_fd() const;
  int handshakes_fd() const;
  int opaque_fd() const;
  uint32_t ring_bytes() const { return ring_bytes_; }

 private:
  struct Destroyer {
    void operator()(capture_bpf* skeleton) const;
  };
  CaptureProgram(std::unique_ptr<capture_bpf, Destroyer> skeleton, std::vector<UniqueFd> rings,
                 uint32_t ring_bytes);

  std::unique_ptr<capture_bpf, Destroyer> skeleton_;
  std::vector<UniqueFd> rings_;
  uint32_t ring_bytes_;
  uint32_t cpus_;
};

}  // namespace podtap::capture
