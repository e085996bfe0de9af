// A loaded capture program with a collector of records, for tests.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
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
  uint32_t ring = 0;
};

// Program, ring readers, and taps under test-run: one unless a test names others.
class CaptureHarness {
 public:
  static constexpr capture::TapId kTap = {7, 3};

  explicit CaptureHarness(capture::ProgramOptions options);

  // Runs one frame through dispatcher and program by test-run, as if it came from or went to the
  // pod. Frames up to about 3 KiB.
  void TestRun(const Bytes& frame, capture::Direction direction, capture::TapId tap = kTap);
  // The same as if it came in on loopback.
  void TestRunOnLoopback(const Bytes& frame);
  // Opens a live tap on an interface of the calling thread's namespace.
  void Attach(uint32_t interface_index, capture::Polarity polarity = capture::Polarity::kHostSide);
  void Detach() { tap_.reset(); }

  const capture::CaptureProgram& program() const { return *program_; }
  // Of the first ring.
  capture::RingReader& reader() { return *readers_.front(); }
  // What the rings hold, drained; appended to what came before.
  std::vector<Recorded>& Records();
  uint64_t Count(int reason, capture::TapId tap = kTap) const;
  uint64_t CountBytes(int reason, capture::TapId tap = kTap) const;
  // Sum of the per-packet counters of kTap.
  uint64_t Packets() const;

 private:
  int Dispatcher(const capture::TapId& tap, capture::Polarity polarity);
  static void Run(const Bytes& frame, int dispatcher);

  std::optional<capture::CaptureProgram> program_;
  std::vector<std::unique_ptr<capture::RingReader>> readers_;
  // By slot, generation and polarity.
  std::map<std::pair<uint64_t, capture::Polarity>, UniqueFd> dispatchers_;
  std::optional<capture::PacketTap> tap_;
  std::vector<Recorded> records_;
};

}  // namespace podtap::testing
