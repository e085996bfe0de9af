#include "agent/reassembly/byte_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace podtap::reassembly {
namespace {

// What a stored run costs besides its bytes, so that tiny segments are bounded too.
constexpr uint64_t kStoredRunCost = 160;
// One stream may hold this part of the budget, so that no single peer can use it up.
// It covers what a receive window of some MiB lets follow a lost segment.
constexpr uint64_t kStreamShare = 2;

// A stretch of known bytes.
struct Known {
  uint64_t begin;
  std::span<const uint8_t> bytes;
};

bool Differ(const Known& a, const Known& b) {
  const uint64_t begin = std::max(a.begin, b.begin);
  const uint64_t end = std::min(a.begin + a.bytes.size(), b.begin + b.bytes.size());
  return begin < end && std::memcmp(a.bytes.data() + (begin - a.begin),
                                    b.bytes.data() + (begin - b.begin), end - begin) != 0;
}

}  // namespace

void ByteStream::Run::CutFront(uint64_t from) {
  if (from <= position) {
    return;
  }
  head = head.subspan(std::min<uint64_t>(from - position, head.size()));
  tail = tail.last(std::min<uint64_t>(tail.size(), end - from));
  position = from;
  starts_segment = false;
}

void ByteStream::Start(uint32_t first_seq) {
  started_ = true;
  first_seq_ = first_seq;
}

void ByteStream::Add(const capture::Segment& segment) {
  if (!started_) {
    Start(segment.seq);
  }
  const uint64_t size = segment.wire_len;
  const int64_t delta = static_cast<int32_t>(segment.seq - SeqAt(next_));
  const int64_t begin = static_cast<int64_t>(next_) + delta;
  const int64_t end = begin + static_cast<int64_t>(size);
  if (size > 0) {
    counters_->in.Add(size);
  }
  if (delta < -kWindowBytes || delta > kWindowBytes || size > uint64_t{kWindowBytes} * 2) {
    if (size > 0) {
      counters_->out_of_window.Add(size);
    }
    return;
  }
  if (size > 0) {
    if (fin_position_ && end > static_cast<int64_t>(*fin_position_)) {
      counters_->after_end.Add(size);
      return;
    }
    AddPayload(segment, begin, end);
  }
  if (segment.fin && end >= static_cast<int64_t>(next_)) {
    TakeFin(static_cast<uint64_t>(end), segment.time_ns);
  }
}

void ByteStream::AddPayload(const capture::Segment& segment, int64_t begin, int64_t end) {
  const auto size = static_cast<uint64_t>(end - begin);
  const auto next = static_cast<int64_t>(next_);
  const uint64_t old = begin < next ? std::min<uint64_t>(size, next - begin) : 0;
  if (old == size && size == 1 && begin + 1 == next) {
    counters_->keepalive.Add(size);
    return;
  }
  if (old > 0) {
    counters_->duplicate.Add(old);
    // What lies before the stream's start was never passed on.
    const int64_t first = std::max<int64_t>(begin, 0);
    duplicate_position_ = static_cast<uint64_t>(first);
    duplicate_size_ = static_cast<uint64_t>(std::max<int64_t>(std::min(end, next) - first, 0));
    duplicate_time_ns_ = segment.time_ns;
    if (old == size) {
      return;
    }
  }
  Run run;
  run.end = static_cast<uint64_t>(end);
  run.head = segment.head.first(std::min<uint64_t>(segment.head.size(), size));
  run.tail = segment.tail.last(std::min<uint64_t>(segment.tail.size(), size - run.head.size()));
  run.time_ns = segment.time_ns;
  if (old > 0) {
    run.head = run.head.subspan(std::min<uint64_t>(old, run.head.size()));
    run.tail = run.tail.last(std::min<uint64_t>(run.tail.size(), size - old));
    run.position = next_;
    run.starts_segment = false;
  } else {
    run.position = static_cast<uint64_t>(begin);
  }
  newest_ = std::max(newest_, run.end);
  if (run.position == next_) {
    TakeInOrder(run);
  } else {
    Store(run);
  }
}

void ByteStream::TakeFin(uint64_t position, int64_t time_ns) {
  // The nearest one counts: a receiver stops there.
  if (fin_position_ && position >= *fin_position_) {
    return;
  }
  fin_position_ = position;
  fin_time_ns_ = time_ns;
  while (!stored_.empty() && stored_.rbegin()->second.run.end > position) {
    const auto last = std::prev(stored_.end());
    counters_->after_end.Add(last->second.run.end - last->first);
    Release(last->second.run);
    stored_.erase(last);
  }
}

void ByteStream::TakeInOrder(Run run) {
  for (auto it = stored_.begin(); it != stored_.end() && it->first < run.end; ++it) {
    NoteOverlap(&run, &it->second.run);
  }
  if (!stored_.empty()) {
    run.marks |= Bit(Mark::kReordered);
  }
  current_ = run;
}

void ByteStream::Store(Run run) {
  counters_->reordered.Add(run.end - run.position);
  run.marks |= Bit(Mark::kReordered);
  auto after = stored_.upper_bound(run.position);
  if (after != stored_.begin()) {
    const auto before = std::prev(after);
    Run& earlier = before->second.run;
    if (run.position < earlier.end) {
      NoteOverlap(&run, &earlier);
    }
    if (run.end <= earlier.end) {
      counters_->duplicate.Add(run.end - run.position);
      return;
    }
    if (earlier.position == run.position) {
      after = EraseStored(before);
    }
  }
  while (after != stored_.end() && after->first < run.end) {
    Run& later = after->second.run;
    NoteOverlap(&run, &later);
    if (later.end > run.end) {
      break;
    }
    after = EraseStored(after);
  }
  Insert(run);
}

ByteStream::Stored::iterator ByteStream::EraseStored(Stored::iterator it) {
  const Run& run = it->second.run;
  const uint64_t size = run.end - run.position;
  counters_->duplicate.Add(size);
  Release(run);
  return stored_.erase(it);
}

void ByteStream::Insert(const Run& run) {
  StoredRun stored{run, nullptr};
  const size_t head_size = run.head.size();
  const size_t copied = head_size + run.tail.size();
  if (copied > 0) {
    stored.bytes = std::make_unique_for_overwrite<uint8_t[]>(copied);
    std::copy(run.head.begin(), run.head.end(), stored.bytes.get());
    std::copy(run.tail.begin(), run.tail.end(), stored.bytes.get() + head_size);
    stored.run.head = {stored.bytes.get(), head_size};
    stored.run.tail = {stored.bytes.get() + head_size, run.tail.size()};
  }
  stored_cost_ += copied + kStoredRunCost;
  budget_->used_bytes += copied + kStoredRunCost;
  counters_->buffered_bytes += run.end - run.position;
  stored_.emplace(run.position, std::move(stored));
  if (stored_cost_ > budget_->limit_bytes / kStreamShare ||
      budget_->used_bytes > budget_->limit_bytes) {
    ++counters_->budget_hits;
    give_up_until_ = newest_;
  }
}

void ByteStream::Release(const Run& run) {
  const uint64_t cost = run.head.size() + run.tail.size() + kStoredRunCost;
  stored_cost_ -= cost;
  budget_->used_bytes -= cost;
  counters_->buffered_bytes -= run.end - run.position;
}

void ByteStream::NoteOverlap(Run* a, Run* b) {
  a->marks |= Bit(Mark::kRetransmitted);
  b->marks |= Bit(Mark::kRetransmitted);
  if (Conflict(*a, *b)) {
    ++counters_->conflicts;
    a->marks |= Bit(Mark::kOverlapConflict);
    b->marks |= Bit(Mark::kOverlapConflict);
  }
}

bool ByteStream::Conflict(const Run& a, const Run& b) {
  const Known known_a[] = {{a.position, a.head}, {a.end - a.tail.size(), a.tail}};
  const Known known_b[] = {{b.position, b.head}, {b.end - b.tail.size(), b.tail}};
  for (const Known& one : known_a) {
    for (const Known& other : known_b) {
      if (Differ(one, other)) {
        return true;
      }
    }
  }
  return false;
}

bool ByteStream::Next(Piece* piece) {
  if (duplicate_size_ > 0) {
    *piece = Piece{};
    piece->kind = PieceKind::kDuplicate;
    piece->marks = Bit(Mark::kRetransmitted);
    piece->position = duplicate_position_;
    piece->size = std::exchange(duplicate_size_, 0);
    piece->time_ns = duplicate_time_ns_;
    return true;
  }
  if (current_.position < current_.end || LoadStored()) {
    EmitCurrent(piece);
    return true;
  }
  if (EmitLost(piece)) {
    return true;
  }
  if (fin_position_ && next_ >= *fin_position_ && !end_passed_) {
    end_passed_ = true;
    *piece = Piece{};
    piece->kind = PieceKind::kEnd;
    piece->position = next_;
    piece->time_ns = fin_time_ns_;
    return true;
  }
  return false;
}

std::optional<int64_t> ByteStream::NextTimeNs() const {
  if (duplicate_size_ > 0) {
    return duplicate_time_ns_;
  }
  if (current_.position < current_.end) {
    return current_.time_ns;
  }
  const bool gives_up = give_up_always_ || give_up_until_ > next_;
  if (!stored_.empty() && (gives_up || stored_.begin()->first <= next_)) {
    return stored_.begin()->second.run.time_ns;
  }
  if (fin_position_ && !end_passed_ && (gives_up || next_ >= *fin_position_)) {
    return fin_time_ns_;
  }
  return std::nullopt;
}

void ByteStream::EmitCurrent(Piece* piece) {
  *piece = Piece{};
  piece->position = next_;
  piece->marks = current_.marks;
  piece->time_ns = current_.time_ns;
  piece->starts_segment = current_.starts_segment;
  const uint64_t rest = current_.end - next_;
  if (!current_.head.empty()) {
    piece->bytes = current_.head;
    piece->size = piece->bytes.size();
    counters_->delivered.Add(piece->size);
  } else if (rest > current_.tail.size()) {
    piece->kind = PieceKind::kNotCopied;
    piece->size = rest - current_.tail.size();
    counters_->not_copied.Add(piece->size);
  } else {
    piece->bytes = current_.tail;
    piece->size = rest;
    counters_->delivered.Add(piece->size);
  }
  piece->ends_segment = piece->size == rest;
  next_ += piece->size;
  current_.CutFront(next_);
  DropPassed();
}

void ByteStream::DropPassed() {
  while (!stored_.empty() && stored_.begin()->second.run.end <= next_) {
    EraseStored(stored_.begin());
  }
}

bool ByteStream::LoadStored() {
  const auto first = stored_.begin();
  if (first == stored_.end() || first->first > next_) {
    return false;
  }
  StoredRun stored = std::move(first->second);
  Release(stored.run);
  stored_.erase(first);
  if (stored.run.position < next_) {
    counters_->duplicate.Add(next_ - stored.run.position);
  }
  stored.run.CutFront(next_);
  current_ = stored.run;
  current_bytes_ = std::move(stored.bytes);
  return true;
}

bool ByteStream::EmitLost(Piece* piece) {
  if (!HasGap() || (!give_up_always_ && give_up_until_ <= next_)) {
    return false;
  }
  const bool stored = !stored_.empty();
  const uint64_t end = stored ? stored_.begin()->first : *fin_position_;
  *piece = Piece{};
  piece->kind = PieceKind::kLost;
  piece->position = next_;
  piece->size = end - next_;
  piece->time_ns = stored ? stored_.begin()->second.run.time_ns : fin_time_ns_;
  counters_->lost.Add(piece->size);
  next_ = end;
  return true;
}

void ByteStream::GiveUpGaps() { give_up_always_ = true; }

void ByteStream::GiveUpKnownGaps() {
  give_up_until_ = std::max(newest_, fin_position_.value_or(0));
}

bool ByteStream::ExpireGap(int64_t deadline_ns) {
  if (!HasGap()) {
    return false;
  }
  const bool stored = !stored_.empty();
  const int64_t since_ns = stored ? stored_.begin()->second.run.time_ns : fin_time_ns_;
  if (since_ns > deadline_ns) {
    return false;
  }
  give_up_until_ = std::max(give_up_until_, next_ + 1);
  return true;
}

bool ByteStream::HasGap() const {
  return !stored_.empty() || (fin_position_ && *fin_position_ > next_);
}

void ByteStream::Discard() {
  if (current_.position < current_.end) {
    counters_->discarded.Add(current_.end - current_.position);
    next_ = current_.end;
    current_ = Run{};
  }
  for (const auto& [position, stored] : stored_) {
    counters_->discarded.Add(stored.run.end - position);
    Release(stored.run);
  }
  stored_.clear();
  duplicate_size_ = 0;
}

bool ByteStream::AcceptsReset(uint32_t seq) const {
  if (!started_) {
    return true;
  }
  const int64_t distance = static_cast<int32_t>(seq - SeqAt(newest_));
  return distance >= -kResetWindowBytes && distance <= kResetWindowBytes;
}

}  // namespace podtap::reassembly
