#include "agent/capture/record.h"

#include <cstring>

#include "bpf/capture_abi.h"

namespace podtap::capture {

bool ParseRecord(std::span<const uint8_t> data, Segment& segment) {
  pt_record record;
  if (data.size() < sizeof(record)) {
    return false;
  }
  std::memcpy(&record, data.data(), sizeof(record));
  const std::span<const uint8_t> payload = data.subspan(sizeof(record));
  const uint64_t copied = uint64_t{record.head_len} + record.tail_len;
  // The ring rounds sizes up to 8 only in its own bookkeeping; the size given is exact.
  if (copied != payload.size() || record.head_len > record.payload_len ||
      record.tail_len > record.payload_len || record.direction > PT_TO_POD) {
    return false;
  }
  // Of a payload little longer than its first part the last part begins within the first.
  const uint64_t overlap = copied > record.payload_len ? copied - record.payload_len : 0;
  segment.key.tap = {record.tap, record.generation};
  segment.key.local = IpAddress(record.local_addr);
  segment.key.remote = IpAddress(record.remote_addr);
  segment.key.local_port = record.local_port;
  segment.key.remote_port = record.remote_port;
  segment.key.opened_ns = static_cast<int64_t>(record.opened_ns);
  segment.direction = static_cast<Direction>(record.direction);
  segment.time_ns = static_cast<int64_t>(record.time_ns);
  segment.seq = record.seq;
  segment.wire_len = record.payload_len;
  segment.head = payload.first(record.head_len);
  segment.tail = payload.subspan(record.head_len + overlap);
  segment.fin = (record.tcp_flags & PT_TCP_FIN) != 0;
  segment.rst = (record.tcp_flags & PT_TCP_RST) != 0;
  segment.coalesced = (record.flags & PT_FLAG_COALESCED) != 0;
  segment.client.reset();
  if ((record.flags & PT_FLAG_CLIENT_KNOWN) != 0) {
    segment.client =
        (record.flags & PT_FLAG_CLIENT_FROM_POD) != 0 ? Direction::kFromPod : Direction::kToPod;
  }
  segment.initial_seq[0].reset();
  segment.initial_seq[1].reset();
  if ((record.flags & PT_FLAG_ISN_FROM_POD) != 0) {
    segment.initial_seq[PT_FROM_POD] = record.isn[PT_FROM_POD];
  }
  if ((record.flags & PT_FLAG_ISN_TO_POD) != 0) {
    segment.initial_seq[PT_TO_POD] = record.isn[PT_TO_POD];
  }
  return true;
}

}  // namespace podtap::capture
