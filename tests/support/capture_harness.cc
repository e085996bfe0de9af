#include "tests/support/capture_harness.h"

#include <bpf/bpf.h>
#include <gtest/gtest.h>

#include "common/status.h"

namespace podtap::testing {

using capture::Direction;
using capture::Polarity;
using capture::TapId;

CaptureHarness::CaptureHarness(capture::ProgramOptions options) {
  absl::StatusOr<capture::CaptureProgram> program = capture::CaptureProgram::Load(options);
  PODTAP_CHECK(program.ok() ||
               (std::fprintf(stderr, "%s\n", program.status().ToString().c_str()), false));
  program_.emplace(*std::move(program));
  for (uint32_t ring = 0; ring < program_->rings(); ++ring) {
    auto reader =
        capture::RingReader::Create(*program_, ring, [this, ring](const capture::Segment& segment) {
          Recorded recorded{.segment = segment,
                            .head = std::string(segment.head.begin(), segment.head.end()),
                            .tail = std::string(segment.tail.begin(), segment.tail.end()),
                            .ring = ring};
          recorded.segment.head = {};
          recorded.segment.tail = {};
          records_.push_back(std::move(recorded));
        });
    PODTAP_CHECK(reader.ok());
    readers_.push_back(*std::move(reader));
  }
}

int CaptureHarness::Dispatcher(const TapId& tap, Polarity polarity) {
  UniqueFd& fd = dispatchers_[{uint64_t{tap.slot} << 32 | tap.generation, polarity}];
  if (!fd.valid()) {
    auto dispatcher = program_->MakeDispatcher(tap, polarity);
    PODTAP_CHECK(dispatcher.ok());
    fd = *std::move(dispatcher);
  }
  return fd.get();
}

void CaptureHarness::TestRun(const Bytes& frame, Direction direction, TapId tap) {
  // No frame is outgoing, so that the polarity alone sets the direction.
  Run(frame,
      Dispatcher(tap, direction == Direction::kFromPod ? Polarity::kHostSide : Polarity::kPodSide));
}

void CaptureHarness::TestRunOnLoopback(const Bytes& frame) {
  Run(frame, Dispatcher(kTap, Polarity::kLoopback));
}

void CaptureHarness::Run(const Bytes& frame, int dispatcher) {
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
              .data_size_in = static_cast<uint32_t>(frame.size()));
  const int error = bpf_prog_test_run_opts(dispatcher, &options);
  ASSERT_EQ(error, 0) << "frame of " << frame.size() << " bytes";
  ASSERT_EQ(options.retval, 0u);
}

void CaptureHarness::Attach(uint32_t interface_index, Polarity polarity) {
  auto tap = capture::PacketTap::Open(interface_index, Dispatcher(kTap, polarity));
  ASSERT_TRUE(tap.ok()) << tap.status();
  tap_.emplace(*std::move(tap));
}

std::vector<Recorded>& CaptureHarness::Records() {
  for (const auto& reader : readers_) {
    while (!reader->Read()) {
    }
  }
  return records_;
}

uint64_t CaptureHarness::Count(int reason, TapId tap) const {
  return program_->ReadCounters(tap.slot).value()[static_cast<size_t>(reason)].count();
}

uint64_t CaptureHarness::CountBytes(int reason, TapId tap) const {
  return program_->ReadCounters(tap.slot).value()[static_cast<size_t>(reason)].bytes();
}

uint64_t CaptureHarness::Packets() const {
  const capture::TapCounters counters = program_->ReadCounters(kTap.slot).value();
  uint64_t sum = 0;
  for (size_t reason = 0; reason < PT_COUNT_REASONS; ++reason) {
    sum += counters[reason].count();
  }
  return sum;
}

}  // namespace podtap::testing
