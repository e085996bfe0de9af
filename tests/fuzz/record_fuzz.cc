// Bytes of the ring, read as records and passed through a shard: whatever a record says, nothing is
// read outside it, and the sums of docs/ledger.md hold.
//
// Input: per record a byte of options, a size, and the record's bytes.
#include <cstddef>
#include <cstring>
#include <memory>

#include "agent/capture/record.h"
#include "bpf/capture_abi.h"
#include "common/status.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/pipeline_checks.h"

namespace podtap {
namespace {

using fuzz::Input;

// Times come from the kernel's clock, and leave room for sums.
constexpr int64_t kTimeMask = (int64_t{1} << 62) - 1;

PipelineLimits Limits() {
  PipelineLimits limits;
  limits.max_connections = 8;
  limits.max_reordered_bytes = 8192;
  limits.max_pending_exchanges = 4;
  return limits;
}

// Makes a record of what would hardly ever be one. Bits: 1 the lengths agree; 2 one of four
// connections; 4 the sequence is near the start of the stream.
void Mend(uint8_t options, uint8_t* bytes, size_t size) {
  if (size < sizeof(pt_record)) {
    return;
  }
  pt_record record;
  std::memcpy(&record, bytes, sizeof(record));
  if ((options & 1) != 0) {
    const auto copied = static_cast<uint32_t>(size - sizeof(record));
    record.head_len = record.head_len % (copied + 1);
    record.tail_len = copied - record.head_len;
    record.payload_len = record.payload_len % 5 == 0 ? record.payload_len : copied;
    record.direction &= 1;
  }
  if ((options & 2) != 0) {
    std::memset(record.local_addr, 0, sizeof(record.local_addr));
    std::memset(record.remote_addr, 0, sizeof(record.remote_addr));
    record.tap &= 1;
    record.generation = 1;
    record.local_port &= 1;
    record.remote_port = 80;
    record.opened_ns &= 1;
  }
  if ((options & 4) != 0) {
    record.isn[0] = record.isn[1] = 0xffffff00;
    record.seq = 0xffffff01 + record.seq % 1024;
  }
  std::memcpy(bytes, &record, sizeof(record));
}

void Run(Input input) {
  const PipelineLimits limits = Limits();
  testing::PipelineHarness harness(limits);
  while (!input.empty()) {
    const uint8_t options = input.Byte();
    const std::span<const uint8_t> taken = input.Bytes(input.Short() % 1024);
    // On the heap, of exactly its size.
    const auto bytes = std::make_unique<uint8_t[]>(taken.size());
    std::copy(taken.begin(), taken.end(), bytes.get());
    Mend(options, bytes.get(), taken.size());
    capture::Segment segment;
    if (!capture::ParseRecord({bytes.get(), taken.size()}, segment)) {
      continue;
    }
    // All that was copied, and what is in both parts once.
    PODTAP_CHECK(segment.head.size() + segment.tail.size() ==
                 std::min<size_t>(taken.size() - sizeof(pt_record), segment.wire_len));
    segment.time_ns &= kTimeMask;
    harness.pipeline.OnSegment(segment);
    if ((options & 8) != 0) {
      harness.pipeline.OnTick(segment.time_ns);
    }
    if ((options & 0xf0) == 0xf0) {
      harness.pipeline.CloseTaps({segment.key.tap}, segment.time_ns);
    }
  }
  fuzz::FinishAndCheck(harness, limits);
}

}  // namespace
}  // namespace podtap

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  podtap::Run({data, size});
  return 0;
}
