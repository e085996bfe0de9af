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

int CaptureHarness::Dispatcher(const TapId& tap, Direction direction) {
  UniqueFd& fd = dispatchers_[{uint64_t{tap.slot} << 32 | tap.generation, direction}];
  if (!fd.valid()) {
    const auto polarity =
        direction == Direction::kFromPod ? Polarity::kHostSide : Polarity::kPodSide;
    auto dispatcher = program_->MakeDispatcher(tap, polarity);
    PODTAP_CHECK(dispatcher.ok());
    fd = *std::move(dispatcher);
  }
  return fd.get();
}

void CaptureHarness::TestRun(const Bytes& frame, Direction direction, TapId tap) {
  LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame.data(),
              .data_size_in = static_cast<uint32_t>(frame.size()));
  const int error = bpf_prog_test_run_opts(Dispatcher(tap, direction), &options);
  ASSERT_EQ(error, 0) << "frame of " << frame.size() << " bytes";
  ASSERT_EQ(options.retval, 0u);
}

void CaptureHarness::Attach(uint32_t interface_index) {
  auto tap = capture::PacketTap::Open(interface_index, Dispatcher(kTap, Direction::kFromPod));
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
