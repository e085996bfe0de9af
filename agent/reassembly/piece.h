// Value: the next stretch of one direction of a connection, in order. Input of http.
#pragma once

#include <cstdint>
#include <span>

namespace podtap::reassembly {

enum class PieceKind : uint8_t {
  // Bytes, as a Linux receiver reads them.
  kBytes,
  // A stretch that exists and was not copied.
  kNotCopied,
  // A stretch that was never seen and is given up.
  kLost,
  // No new stretch: a range that was passed on before has been sent again.
  kDuplicate,
  // No stretch: the sender is done (FIN), everything before has been passed on.
  kEnd,
};

// Bit of a set: what the segments of a stretch went through. Bit N stands for
// podtap.v1.ExchangeFlag number N.
enum class Mark : uint32_t {
  kRetransmitted = 1u << 4,
  kOverlapConflict = 1u << 5,
  kReordered = 1u << 7,
};

constexpr uint32_t Bit(Mark mark) { return static_cast<uint32_t>(mark); }

struct Piece {
  PieceKind kind = PieceKind::kBytes;
  // The first byte is the first of a segment on the wire; the last byte is the last of one.
  bool starts_segment = false;
  bool ends_segment = false;
  // Mark bits.
  uint32_t marks = 0;
  // Of the first byte, in bytes since the start of the stream.
  uint64_t position = 0;
  uint64_t size = 0;
  // With kBytes: `size` bytes, valid until the next call to the stream.
  std::span<const uint8_t> bytes;
  // Packet time of the segment; of the one behind the gap for kLost.
  int64_t time_ns = 0;

  // Drops the first `count` bytes; the reader has taken them.
  void RemovePrefix(uint64_t count) {
    position += count;
    size -= count;
    if (kind == PieceKind::kBytes) {
      bytes = bytes.subspan(count);
    }
    starts_segment = starts_segment && count == 0;
  }
};

}  // namespace podtap::reassembly
