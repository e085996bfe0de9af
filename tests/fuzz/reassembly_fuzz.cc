// Segments in any order, overlapping in any way, against a model.
//
// Input: a byte of options, then steps of a byte for what is done, to which of two streams that
// share a budget, and what it takes: see Step().
#include <algorithm>
#include <memory>
#include <vector>

#include "agent/reassembly/byte_stream.h"
#include "common/status.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/stream_model.h"

namespace podtap::reassembly {
namespace {

using fuzz::Input;
using fuzz::kLostSymbol;
using fuzz::kNotCopiedSymbol;
using fuzz::StreamModel;
using fuzz::Symbol;

// Sequence numbers wrap around early.
constexpr uint32_t kFirstSeq = 0xffffff00;
// What one segment can cost beyond the bound before a gap is given up: its copied bytes and what
// holding it takes.
constexpr uint64_t kOneSegment = 2 * 255 + 256;
// The model keeps every byte.
constexpr uint64_t kMostBytes = 1 << 20;

// A stream beside its model.
class Pair {
 public:
  Pair(ReorderBudget& budget, StreamCounters& counters)
      : budget_(budget), counters_(counters), stream_(budget, counters) {
    stream_.Start(kFirstSeq);
  }

  void Add(int64_t offset, std::vector<Symbol> symbols, size_t head, size_t tail, bool fin,
           int64_t now_ns);
  void AddFar(uint32_t distance, int64_t now_ns);
  void Drain();

  void GiveUpKnownGaps() {
    stream_.GiveUpKnownGaps();
    model_.GiveUpKnownGaps();
  }
  void GiveUpAlways() {
    stream_.GiveUpGaps();
    model_.GiveUpAlways();
  }
  void Expire(int64_t deadline_ns) {
    const bool has_gap = stream_.HasGap();
    if (stream_.ExpireGap(deadline_ns)) {
      PODTAP_CHECK(has_gap);
      model_.GiveUpFirstGap();
    }
  }
  void Discard() { stream_.Discard(); }
  const StreamModel& model() const { return model_; }

 private:
  void Take(const Piece& piece);

  ReorderBudget& budget_;
  StreamCounters& counters_;
  ByteStream stream_;
  StreamModel model_;
  std::vector<Symbol> out_;
  bool ended_ = false;
};

void Pair::Add(int64_t offset, std::vector<Symbol> symbols, size_t head, size_t tail, bool fin,
               int64_t now_ns) {
  // Borrowed during the call and the drain only: on the heap, of exactly their size.
  const auto bytes = std::make_unique<uint8_t[]>(head + tail);
  std::copy(symbols.begin(), symbols.begin() + static_cast<int64_t>(head), bytes.get());
  std::copy(symbols.end() - static_cast<int64_t>(tail), symbols.end(), bytes.get() + head);
  const int64_t begin = static_cast<int64_t>(stream_.next_position()) + offset;
  capture::Segment segment;
  segment.seq = kFirstSeq + static_cast<uint32_t>(begin);
  segment.wire_len = static_cast<uint32_t>(symbols.size());
  segment.head = {bytes.get(), head};
  segment.tail = {bytes.get() + head, tail};
  segment.fin = fin;
  segment.time_ns = now_ns;
  const uint64_t hits = counters_.budget_hits;
  stream_.Add(segment);
  PODTAP_CHECK(budget_.used_bytes <= budget_.limit_bytes + kOneSegment);
  model_.Add(begin, std::move(symbols), fin);
  if (counters_.budget_hits > hits) {
    model_.GiveUpToNewest();
  }
  Drain();
}

void Pair::AddFar(uint32_t distance, int64_t now_ns) {
  capture::Segment segment;
  segment.seq = stream_.SeqAt(stream_.next_position()) + distance;
  segment.wire_len = 100;
  segment.time_ns = now_ns;
  segment.fin = true;
  stream_.Add(segment);
  Drain();
}

void Pair::Drain() {
  model_.Drain();
  while (true) {
    const std::optional<int64_t> next_ns = stream_.NextTimeNs();
    Piece piece;
    if (!stream_.Next(&piece)) {
      PODTAP_CHECK(!next_ns);
      break;
    }
    PODTAP_CHECK(next_ns == piece.time_ns);
    Take(piece);
  }
  PODTAP_CHECK(out_ == model_.out());
  PODTAP_CHECK(stream_.next_position() == out_.size());
  PODTAP_CHECK(stream_.HasGap() == model_.HasGap());
  PODTAP_CHECK(ended_ == model_.ended());
  PODTAP_CHECK(budget_.used_bytes <= budget_.limit_bytes);
}

void Pair::Take(const Piece& piece) {
  switch (piece.kind) {
    case PieceKind::kBytes:
      PODTAP_CHECK(piece.bytes.size() == piece.size);
      PODTAP_CHECK(piece.size > 0 && piece.position == out_.size() && !ended_);
      out_.insert(out_.end(), piece.bytes.begin(), piece.bytes.end());
      return;
    case PieceKind::kNotCopied:
    case PieceKind::kLost:
      PODTAP_CHECK(piece.size > 0 && piece.position == out_.size() && !ended_);
      out_.resize(out_.size() + piece.size,
                  piece.kind == PieceKind::kLost ? kLostSymbol : kNotCopiedSymbol);
      return;
    case PieceKind::kDuplicate:
      PODTAP_CHECK(piece.size > 0 && piece.position + piece.size <= out_.size());
      return;
    case PieceKind::kEnd:
      PODTAP_CHECK(!ended_ && piece.position == out_.size());
      ended_ = true;
      return;
  }
}

class Run {
 public:
  explicit Run(Input input) : input_(input) {
    const uint8_t options = input_.Byte();
    // The share of one stream is an eighth.
    budget_.limit_bytes = (options & 1) != 0 ? 4096 : 1 << 20;
    while (!input_.empty() && Size() < kMostBytes) {
      Step();
      CheckSums();
    }
    for (Pair& pair : pairs_) {
      if ((options & 2) != 0) {
        pair.GiveUpAlways();
        pair.Drain();
        PODTAP_CHECK(!pair.model().HasGap());
      }
      pair.Discard();
    }
    PODTAP_CHECK(budget_.used_bytes == 0 && counters_.buffered_bytes == 0);
    CheckBytes();
  }

 private:
  void Step() {
    const uint8_t action = input_.Byte();
    Pair& pair = pairs_[action >> 7];
    ++now_ns_;
    switch (action & 7) {
      default:
        return AddSegment(pair, action);
      case 4:
        pair.GiveUpKnownGaps();
        return pair.Drain();
      case 5:
        pair.Expire(now_ns_ - input_.Byte() % 16);
        return pair.Drain();
      case 6:
        return pair.AddFar(0x50000000 + input_.Long() % 0x60000000, now_ns_);
      case 7:
        if (input_.Byte() == 0xff) {
          pair.GiveUpAlways();
        }
        return pair.Drain();
    }
  }

  // Bits: 8 FIN; 16 with a middle and a tail; 32 bytes that are the same whenever sent.
  void AddSegment(Pair& pair, uint8_t action) {
    const auto offset = static_cast<int16_t>(input_.Short());
    const size_t head = input_.Byte();
    const bool large = (action & 16) != 0;
    const size_t middle = large ? size_t{input_.Byte()} * 8 : 0;
    const size_t tail = large ? input_.Byte() : 0;
    const auto begin = static_cast<int64_t>(pair.model().out().size()) + offset;
    std::vector<Symbol> symbols(head + middle + tail, kNotCopiedSymbol);
    for (size_t i = 0; i < symbols.size(); ++i) {
      if (i < head || i >= head + middle) {
        const int64_t value = (action & 32) != 0 ? begin + static_cast<int64_t>(i) : now_ns_;
        symbols[i] = static_cast<uint8_t>(value);
      }
    }
    pair.Add(offset, std::move(symbols), head, tail, (action & 8) != 0, now_ns_);
  }

  uint64_t Size() const {
    return std::max(pairs_[0].model().out().size(), pairs_[1].model().out().size());
  }
  void CheckBytes() const {
    const StreamCounters& c = counters_;
    PODTAP_CHECK(c.in.bytes == c.delivered.bytes + c.not_copied.bytes + c.duplicate.bytes +
                                   c.keepalive.bytes + c.out_of_window.bytes + c.after_end.bytes +
                                   c.discarded.bytes + c.buffered_bytes);
  }
  void CheckSums() const {
    CheckBytes();
    const StreamCounters& c = counters_;
    PODTAP_CHECK(c.delivered.bytes + c.not_copied.bytes + c.lost.bytes ==
                 pairs_[0].model().out().size() + pairs_[1].model().out().size());
    PODTAP_CHECK(c.buffered_bytes == pairs_[0].model().buffered() + pairs_[1].model().buffered());
  }

  Input input_;
  ReorderBudget budget_;
  StreamCounters counters_;
  Pair pairs_[2] = {{budget_, counters_}, {budget_, counters_}};
  int64_t now_ns_ = 0;
};

}  // namespace
}  // namespace podtap::reassembly

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  podtap::reassembly::Run(podtap::fuzz::Input(data, size));
  return 0;
}
