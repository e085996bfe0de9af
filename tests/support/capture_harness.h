// A loaded capture program with a collector of records, for tests.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/capture/capture_program.h"
#include "agent/capture/packet_tap.h"
#include "agent/capture/ring_reader.h"
#include "tests/support/needs_root.h"
#include "tests/support/packet_builder.h"

namespace podtap::testing {

// A segment with its bytes copied out of the ring.
struct Recorded {
  capture::Segment segment;
  std::string head;
  std::string tail;
};

// Program, ring reader and one tap slot.
class CaptureHarness {
 public:
  static constexpr capture::TapId kTap = {7, 3};

  explicit CaptureHarness(capture::ProgramOptions options);

  // Runs one frame through dispatcher and program by test-run, as if it came from or went to the
  // pod. Frames up to about 3 KiB.
  void TestRun(const Bytes& frame, capture::Direction direction);
  // Opens a live tap on the host's side of a pod's interface.
  void Attach(uint32_t interface_index);
  void Detach() { tap_.reset(); }

  const capture::CaptureProgram& program() const { return *program_; }
  capture::RingReader& reader() { return *reader_; }
  // What the ring holds, drained; appended to what came before.
  std::vector<Recorded>& Records();
  // Counter of kTap.
  uint64_t Count(int reason) const;
  uint64_t CountBytes(int reason) const;
  // Sum of the per-packet counters.
  uint64_t Packets() const;

 private:
  std::optional<capture::CaptureProgram> program_;
  std::unique_ptr<capture::RingReader> reader_;
  UniqueFd dispatchers_[2];
  std::optional<capture::PacketTap> tap_;
  std::vector<Recorded> records_;
};

}  // namespace podtap::testing
