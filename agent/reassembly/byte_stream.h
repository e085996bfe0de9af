// One direction of one TCP connection: segments as the tap saw them in, bytes in order out.
//
// Takes what a Linux receiver would take where copies of a range differ: what was passed on stays;
// a segment that continues the stream beats what waits out of order; among waiting segments a new
// one yields only to one that starts at or before it and reaches its end, or, in the overlap, to
// one that starts before it (RFC 9293 section 3.10.7.4 leaves the choice open).
//
// Two kinds of stretches without bytes are kept apart: bytes that the kernel side chose not to copy
// pass in order at once; bytes that were never seen wait for a retransmission until the gap is
// given up.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>

#include "agent/capture/segment.h"
#include "agent/reassembly/piece.h"

namespace podtap::reassembly {

// How often and how many bytes.
struct Tally {
  uint64_t count = 0;
  uint64_t bytes = 0;

  void Add(uint64_t size) {
    ++count;
    bytes += size;
  }
};

// Of all streams of a shard. Payload bytes obey
//   in = delivered + not_copied + duplicate + keepalive + out_of_window + after_end + discarded
//        + buffered_bytes.
struct StreamCounters {
  Tally in;
  Tally delivered;
  Tally not_copied;
  // Sent again, or overlapped by what a receiver takes instead.
  Tally duplicate;
  // One byte below the stream's end: a keep-alive probe (RFC 9293 section 3.8.4).
  Tally keepalive;
  // Too far from the stream's end to belong to it.
  Tally out_of_window;
  // Behind the FIN.
  Tally after_end;
  // Waited when the connection became of no interest.
  Tally discarded;
  // Arrived ahead of a gap.
  Tally reordered;
  // Never seen; not part of `in`.
  Tally lost;
  // Two copies of one range differed.
  uint64_t conflicts = 0;
  // Gaps given up because too many reordered bytes were held.
  uint64_t budget_hits = 0;
  // Gauge: held out of order now.
  uint64_t buffered_bytes = 0;
};

// Memory for reordered segments, shared by the streams of a shard.
struct ReorderBudget {
  uint64_t limit_bytes = 1 << 20;
  uint64_t used_bytes = 0;
};

// Not thread-safe. Use: Add(), then Next() until it returns false, before the next Add().
class ByteStream {
 public:
  // A segment further than this from the stream's end is not believed.
  static constexpr int64_t kWindowBytes = int64_t{1} << 30;
  // The same for a RST, whose sender is at most a window away from what was seen.
  static constexpr int64_t kResetWindowBytes = int64_t{1} << 24;

  // Both are borrowed and outlive the stream.
  ByteStream(ReorderBudget& budget, StreamCounters& counters)
      : budget_(&budget), counters_(&counters) {}
  ~ByteStream() { Discard(); }
  ByteStream(const ByteStream&) = delete;
  ByteStream& operator=(const ByteStream&) = delete;

  // Position 0 has this sequence number. Without a call, the first segment starts the stream.
  void Start(uint32_t first_seq);
  bool started() const { return started_; }

  // Takes payload and FIN of a segment; borrows its spans until Next() has returned false.
  void Add(const capture::Segment& segment);
  // The next stretch. False when there is none for now.
  bool Next(Piece* piece);

  // Packet time of the next stretch; nullopt when there is none for now.
  std::optional<int64_t> NextTimeNs() const;

  // Gives up every gap, now and from here on: nothing more will come to fill them.
  void GiveUpGaps();
  // Gives up the gaps there are now.
  void GiveUpKnownGaps();
  // Gives up the gap at the stream's end when the segment behind it has waited since before
  // `deadline_ns`. True when there is something for Next().
  bool ExpireGap(int64_t deadline_ns);
  // Something waits behind a gap.
  bool HasGap() const;
  // Drops all that waits.
  void Discard();

  // Whether a RST with this sequence number can be its sender's.
  bool AcceptsReset(uint32_t seq) const;
  uint32_t SeqAt(uint64_t position) const { return first_seq_ + static_cast<uint32_t>(position); }
  // Position of the first byte not passed on yet.
  uint64_t next_position() const { return next_; }
  // End of the newest byte seen, passed on or waiting.
  uint64_t newest_position() const { return newest_; }

 private:
  // A segment's payload: `head` from its start, `tail` up to its end, the middle not copied.
  struct Run {
    uint64_t position = 0;
    uint64_t end = 0;
    std::span<const uint8_t> head;
    std::span<const uint8_t> tail;
    int64_t time_ns = 0;
    uint32_t marks = 0;
    // `position` is where the segment starts.
    bool starts_segment = true;

    // Drops the bytes before `from`.
    void CutFront(uint64_t from);
  };
  struct StoredRun {
    Run run;
    // What run.head and run.tail refer to.
    std::unique_ptr<uint8_t[]> bytes;
  };

  // True when the known bytes of both differ somewhere.
  static bool Conflict(const Run& a, const Run& b);
  using Stored = std::map<uint64_t, StoredRun>;
  void AddPayload(const capture::Segment& segment, int64_t begin, int64_t end);
  void TakeFin(uint64_t position, int64_t time_ns);
  void TakeInOrder(Run run);
  void Store(Run run);
  void Insert(const Run& run);
  Stored::iterator EraseStored(Stored::iterator it);
  // Takes `run` out of the budget and the gauge.
  void Release(const Run& run);
  // Marks both as sent more than once, and as in conflict if they are.
  void NoteOverlap(Run* a, Run* b);
  void EmitCurrent(Piece* piece);
  // Drops the stored runs that hold nothing beyond what was passed on.
  void DropPassed();
  // Makes the first stored run current when it continues the stream.
  bool LoadStored();
  bool EmitLost(Piece* piece);

  ReorderBudget* budget_;
  StreamCounters* counters_;
  bool started_ = false;
  bool end_passed_ = false;
  bool give_up_always_ = false;
  uint32_t first_seq_ = 0;
  uint64_t next_ = 0;
  uint64_t newest_ = 0;
  // Gaps below this position are given up.
  uint64_t give_up_until_ = 0;
  std::optional<uint64_t> fin_position_;
  int64_t fin_time_ns_ = 0;
  // What Next() is passing on; empty when position == end.
  Run current_;
  // Owns the bytes of `current_` when it was stored.
  std::unique_ptr<uint8_t[]> current_bytes_;
  // A range sent again, to be reported.
  uint64_t duplicate_position_ = 0;
  uint64_t duplicate_size_ = 0;
  int64_t duplicate_time_ns_ = 0;
  // By position; positions and ends both grow strictly. Runs may overlap: the earlier start wins.
  Stored stored_;
  uint64_t stored_cost_ = 0;
};

}  // namespace podtap::reassembly
