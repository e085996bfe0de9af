// What the kernel side must do with each shape of packet: one table, run twice, through test-run
// and live over a veth. Test-run alone proves little: its packets are linear, live ones are not.
#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "agent/capture/segment.h"
#include "tests/support/packet_builder.h"

namespace podtap::testing {

struct TableFrame {
  capture::Direction direction;
  Packet packet;
};

struct CaptureRow {
  std::string name;
  // Sent in order on one fresh tap.
  std::vector<TableFrame> frames;
  // enum pt_count of the last frame.
  int reason;
  // Records made by all frames together.
  size_t records = 0;
  // Copied beginning of the last record's payload.
  std::string head;
  // Sequence number of the last record.
  uint32_t seq = 0;
  // Who sent the SYN, according to the last record.
  std::optional<capture::Direction> client;
};

std::vector<CaptureRow> CaptureTable();

// What test listings show of a row.
inline void PrintTo(const CaptureRow& row, std::ostream* out) { *out << row.name; }

}  // namespace podtap::testing
