#include "agent/reassembly/byte_stream.h"

#include <algorithm>
#include <list>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podtap::reassembly {
namespace {

constexpr uint32_t kSeq = 0xffffff00;

class ByteStreamTest : public ::testing::Test {
 protected:
  ByteStreamTest() { stream_.Start(kSeq); }

  void Add(uint64_t offset, std::string_view head, uint64_t middle = 0, std::string_view tail = "",
           bool fin = false) {
    capture::Segment segment;
    segment.seq = kSeq + static_cast<uint32_t>(offset);
    segment.head = {reinterpret_cast<const uint8_t*>(head.data()), head.size()};
    segment.tail = {reinterpret_cast<const uint8_t*>(tail.data()), tail.size()};
    segment.wire_len = static_cast<uint32_t>(head.size() + middle + tail.size());
    segment.time_ns = ++time_ns_;
    segment.fin = fin;
    stream_.Add(segment);
    Drain();
  }

  // Bytes as they are, "<N>" not copied, "[N]" lost, "$" the end; marks are gathered.
  void Drain() {
    Piece piece;
    while (stream_.Next(&piece)) {
      switch (piece.kind) {
        case PieceKind::kBytes:
          EXPECT_EQ(piece.position, position_);
          EXPECT_EQ(piece.bytes.size(), piece.size);
          out_.append(piece.bytes.begin(), piece.bytes.end());
          position_ += piece.size;
          break;
        case PieceKind::kNotCopied:
          EXPECT_EQ(piece.position, position_);
          out_ += "<" + std::to_string(piece.size) + ">";
          position_ += piece.size;
          break;
        case PieceKind::kLost:
          EXPECT_EQ(piece.position, position_);
          out_ += "[" + std::to_string(piece.size) + "]";
          position_ += piece.size;
          break;
        case PieceKind::kDuplicate:
          duplicates_.emplace_back(piece.position, piece.size);
          break;
        case PieceKind::kEnd:
          out_ += "$";
          break;
      }
      marks_ |= piece.marks;
      pieces_.push_back(piece);
    }
    ExpectLedger();
  }

  void ExpectLedger() {
    EXPECT_EQ(counters_.in.bytes, counters_.delivered.bytes + counters_.not_copied.bytes +
                                      counters_.duplicate.bytes + counters_.keepalive.bytes +
                                      counters_.out_of_window.bytes + counters_.after_end.bytes +
                                      counters_.discarded.bytes + counters_.buffered_bytes);
    EXPECT_EQ(position_,
              counters_.delivered.bytes + counters_.not_copied.bytes + counters_.lost.bytes);
  }

  ReorderBudget budget_;
  StreamCounters counters_;
  ByteStream stream_{budget_, counters_};
  int64_t time_ns_ = 0;
  uint64_t position_ = 0;
  uint32_t marks_ = 0;
  std::string out_;
  std::vector<std::pair<uint64_t, uint64_t>> duplicates_;
  std::vector<Piece> pieces_;
};

TEST_F(ByteStreamTest, PassesOnInOrderAcrossTheSequenceWrap) {
  std::string sent;
  for (int i = 0; i < 100; ++i) {
    const std::string part(7, static_cast<char>('a' + i % 26));
    Add(sent.size(), part);
    sent += part;
  }
  EXPECT_EQ(out_, sent);
  EXPECT_EQ(marks_, 0u);
  EXPECT_EQ(stream_.SeqAt(0x100), 0u);
}

TEST_F(ByteStreamTest, DoesNotCopyInOrderBytes) {
  const std::string text = "hello";
  Add(0, text);
  EXPECT_EQ(reinterpret_cast<const char*>(pieces_.at(0).bytes.data()), text.data());
}

TEST_F(ByteStreamTest, SortsReorderedSegments) {
  Add(6, "ghi");
  Add(3, "def");
  EXPECT_EQ(out_, "");
  EXPECT_TRUE(stream_.HasGap());
  EXPECT_EQ(counters_.buffered_bytes, 6u);
  Add(0, "abc");
  EXPECT_EQ(out_, "abcdefghi");
  EXPECT_EQ(marks_, Bit(Mark::kReordered));
  EXPECT_EQ(budget_.used_bytes, 0u);
  EXPECT_FALSE(stream_.HasGap());
}

// The table of what a Linux receiver delivers, case by case.
TEST_F(ByteStreamTest, DeliveredBytesStay) {
  Add(0, "AAAABBBB");
  Add(0, "XXXXXXXX");
  Add(8, "C");
  EXPECT_EQ(out_, "AAAABBBBC");
  EXPECT_THAT(duplicates_, ::testing::ElementsAre(std::pair<uint64_t, uint64_t>(0, 8)));
}

TEST_F(ByteStreamTest, SameRangeTwiceBehindAHoleKeepsTheFirst) {
  Add(4, "GOOD");
  Add(4, "EVIL");
  Add(0, "AAAA");
  EXPECT_EQ(out_, "AAAAGOOD");
  EXPECT_NE(marks_ & Bit(Mark::kOverlapConflict), 0u);
  EXPECT_EQ(counters_.conflicts, 1u);
}

TEST_F(ByteStreamTest, LaterSegmentThatCoversReplaces) {
  Add(5, "oo");
  Add(4, "NNNN");
  Add(0, "AAAA");
  EXPECT_EQ(out_, "AAAANNNN");
}

TEST_F(ByteStreamTest, LaterSegmentWithTheSameStartAndLongerReplaces) {
  Add(4, "oo");
  Add(4, "NNNN");
  Add(0, "AAAA");
  EXPECT_EQ(out_, "AAAANNNN");
}

TEST_F(ByteStreamTest, LaterWinsOverTheHeadOfTheEarlier) {
  Add(6, "oooo");
  Add(4, "NNNN");
  Add(0, "AAAA");
  EXPECT_EQ(out_, "AAAANNNNoo");
}

TEST_F(ByteStreamTest, EarlierWinsOverTheHeadOfTheLater) {
  Add(4, "oooo");
  Add(6, "NNNN");
  Add(0, "AAAA");
  EXPECT_EQ(out_, "AAAAooooNN");
}

TEST_F(ByteStreamTest, FillWinsOverWhatWaits) {
  Add(4, "oooo");
  Add(0, "AAAANN");
  EXPECT_EQ(out_, "AAAANNoo");
  EXPECT_NE(marks_ & Bit(Mark::kOverlapConflict), 0u);
}

TEST_F(ByteStreamTest, WhatWaitedInVainHasNoTime) {
  Add(4, "oo");
  capture::Segment segment;
  segment.seq = kSeq;
  segment.wire_len = 8;
  segment.fin = true;
  segment.time_ns = 100;
  stream_.Add(segment);
  Piece piece;
  ASSERT_TRUE(stream_.Next(&piece));
  EXPECT_EQ(piece.size, 8u);
  EXPECT_EQ(stream_.NextTimeNs(), 100) << "of the FIN";
  ASSERT_TRUE(stream_.Next(&piece));
  EXPECT_EQ(piece.kind, PieceKind::kEnd);
  EXPECT_EQ(stream_.NextTimeNs(), std::nullopt);
}

TEST_F(ByteStreamTest, OldPartOfASegmentIsIgnored) {
  Add(0, "AAAA");
  Add(2, "XXBB");
  EXPECT_EQ(out_, "AAAABB");
  EXPECT_FALSE(pieces_.back().starts_segment);
  EXPECT_THAT(duplicates_, ::testing::ElementsAre(std::pair<uint64_t, uint64_t>(2, 2)));
}

TEST_F(ByteStreamTest, WhatLiesBeforeTheStreamWasNotSentBefore) {
  const auto before = static_cast<uint64_t>(-4);
  Add(before, "XXXX");
  Add(before, "XXXXAAAA");
  EXPECT_EQ(out_, "AAAA");
  EXPECT_THAT(duplicates_, ::testing::IsEmpty());
  Add(before, "XXXXYY");
  EXPECT_THAT(duplicates_, ::testing::ElementsAre(std::pair<uint64_t, uint64_t>(0, 2)));
}

TEST_F(ByteStreamTest, EqualCopiesAreNoConflict) {
  Add(4, "same");
  Add(4, "same");
  Add(0, "AAAA");
  EXPECT_EQ(marks_, Bit(Mark::kReordered) | Bit(Mark::kRetransmitted));
  EXPECT_EQ(counters_.conflicts, 0u);
}

// Segments with random places and sizes against the rules written down as plainly as they are.
TEST_F(ByteStreamTest, AgreesWithTheModelOnRandomOverlaps) {
  struct Waiting {
    uint64_t begin;
    std::string bytes;
    uint64_t end() const { return begin + bytes.size(); }
  };
  for (uint32_t seed = 0; seed < 400; ++seed) {
    std::mt19937 random(seed);
    ReorderBudget budget;
    StreamCounters counters;
    ByteStream stream(budget, counters);
    stream.Start(kSeq);
    std::string model;
    std::list<Waiting> waiting;
    std::string out;
    for (int i = 0; i < 60; ++i) {
      const uint64_t low = model.size() > 6 ? model.size() - 6 : 0;
      const uint64_t begin = low + random() % 30;
      const std::string bytes(1 + random() % 12, static_cast<char>('!' + i));
      const uint64_t end = begin + bytes.size();
      if (end > model.size() && begin <= model.size()) {
        model += bytes.substr(model.size() - begin);
      } else if (begin > model.size()) {
        const bool covered = std::any_of(waiting.begin(), waiting.end(), [&](const Waiting& old) {
          return old.begin <= begin && old.end() >= end;
        });
        if (!covered) {
          waiting.remove_if(
              [&](const Waiting& old) { return old.begin >= begin && old.end() <= end; });
          waiting.push_back({begin, bytes});
          waiting.sort([](const Waiting& a, const Waiting& b) { return a.begin < b.begin; });
        }
      }
      while (!waiting.empty() && waiting.front().begin <= model.size()) {
        const Waiting& first = waiting.front();
        if (first.end() > model.size()) {
          model += first.bytes.substr(model.size() - first.begin);
        }
        waiting.pop_front();
      }
      capture::Segment segment;
      segment.seq = kSeq + static_cast<uint32_t>(begin);
      segment.head = {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
      segment.wire_len = static_cast<uint32_t>(bytes.size());
      stream.Add(segment);
      Piece piece;
      while (stream.Next(&piece)) {
        if (piece.kind == PieceKind::kBytes) {
          out.append(piece.bytes.begin(), piece.bytes.end());
        }
      }
      ASSERT_EQ(out, model) << "seed " << seed << " step " << i;
      ASSERT_EQ(counters.in.bytes, counters.delivered.bytes + counters.duplicate.bytes +
                                       counters.keepalive.bytes + counters.buffered_bytes);
    }
  }
}

TEST_F(ByteStreamTest, UncopiedBytesPassAtOnce) {
  Add(0, "head", 1000, "tail");
  Add(1008, "", 50);
  Add(1058, "x");
  EXPECT_EQ(out_, "head<1000>tail<50>x");
  EXPECT_TRUE(pieces_[0].starts_segment);
  EXPECT_FALSE(pieces_[0].ends_segment);
  EXPECT_FALSE(pieces_[2].starts_segment);
  EXPECT_TRUE(pieces_[2].ends_segment);
  EXPECT_EQ(counters_.lost.count, 0u);
}

TEST_F(ByteStreamTest, StoredUncopiedBytesKeepTheirEnds) {
  Add(3, "head", 10, "tail");
  Add(0, "abc");
  EXPECT_EQ(out_, "abchead<10>tail");
}

TEST_F(ByteStreamTest, PartlyOldLargeSegmentIsCutInEachPart) {
  Add(0, "abcdefgh");
  Add(6, "XXij", 5, "klm");
  EXPECT_EQ(out_, "abcdefghij<5>klm");
  Add(15, "", 4, "NO");
  EXPECT_EQ(out_, "abcdefghij<5>klm<1>NO");
}

TEST_F(ByteStreamTest, GapIsLostOnlyAfterItsTime) {
  Add(0, "ab");
  Add(5, "fg");
  EXPECT_FALSE(stream_.ExpireGap(time_ns_ - 1));
  Drain();
  EXPECT_EQ(out_, "ab");
  EXPECT_TRUE(stream_.ExpireGap(time_ns_));
  Drain();
  EXPECT_EQ(out_, "ab[3]fg");
  EXPECT_EQ(counters_.lost.count, 1u);
  EXPECT_EQ(counters_.lost.bytes, 3u);
  // Too late.
  Add(2, "cde");
  EXPECT_EQ(out_, "ab[3]fg");
}

TEST_F(ByteStreamTest, SecondGapHasItsOwnTime) {
  Add(2, "c");
  time_ns_ = 100;
  Add(5, "f");
  EXPECT_TRUE(stream_.ExpireGap(50));
  Drain();
  EXPECT_EQ(out_, "[2]c");
  EXPECT_FALSE(stream_.ExpireGap(50));
  Add(3, "de");
  EXPECT_EQ(out_, "[2]cdef");
}

TEST_F(ByteStreamTest, EndComesInOrder) {
  Add(3, "def", 0, "", true);
  EXPECT_EQ(out_, "");
  Add(0, "abc");
  EXPECT_EQ(out_, "abcdef$");
  Add(6, "more");
  EXPECT_EQ(out_, "abcdef$");
  EXPECT_EQ(counters_.after_end.bytes, 4u);
  Add(6, "", 0, "", true);
  EXPECT_EQ(out_, "abcdef$") << "a FIN sent again ends nothing";
}

TEST_F(ByteStreamTest, FinBehindALossEndsTheStreamWhenGivenUp) {
  Add(0, "ab");
  Add(5, "", 0, "", true);
  EXPECT_TRUE(stream_.HasGap());
  stream_.GiveUpGaps();
  Drain();
  EXPECT_EQ(out_, "ab[3]$");
}

TEST_F(ByteStreamTest, KeepaliveProbesAreHarmless) {
  Add(0, "ab");
  Add(1, "?");
  Add(2, "cd");
  EXPECT_EQ(out_, "abcd");
  EXPECT_EQ(marks_, 0u);
  EXPECT_EQ(counters_.keepalive.bytes, 1u);
  EXPECT_TRUE(duplicates_.empty());
}

TEST_F(ByteStreamTest, FarSegmentsAreNotBelieved) {
  Add(0, "ab");
  Add((uint64_t{1} << 30) + 100, "far");
  EXPECT_EQ(counters_.out_of_window.bytes, 3u);
  EXPECT_FALSE(stream_.HasGap());
  Add(2, "cd");
  EXPECT_EQ(out_, "abcd");
}

TEST_F(ByteStreamTest, ResetsMustBeNear) {
  Add(0, "ab");
  EXPECT_TRUE(stream_.AcceptsReset(kSeq + 2));
  EXPECT_TRUE(stream_.AcceptsReset(kSeq + 2 + 100'000));
  EXPECT_FALSE(stream_.AcceptsReset(kSeq + 2 + 0x10000000));
  EXPECT_FALSE(stream_.AcceptsReset(kSeq + 2 - 0x10000000));
}

TEST_F(ByteStreamTest, BudgetIsBoundedAlsoForTinySegments) {
  budget_.limit_bytes = 16'000;
  for (uint64_t i = 0; i < 1000; ++i) {
    Add(10 + 2 * i, "x");
    ASSERT_LE(budget_.used_bytes, budget_.limit_bytes);
  }
  EXPECT_GT(counters_.budget_hits, 0u);
  EXPECT_GT(counters_.lost.count, 0u);
  stream_.Discard();
  EXPECT_EQ(budget_.used_bytes, 0u);
  ExpectLedger();
}

TEST_F(ByteStreamTest, OthersBudgetDoesNotHideAGap) {
  budget_.used_bytes = budget_.limit_bytes;
  Add(3, "def");
  EXPECT_EQ(out_, "[3]def") << "no room to wait: the gap is given up at once";
}

TEST_F(ByteStreamTest, StreamsLongerThanFourGibibytes) {
  uint64_t offset = 0;
  for (int i = 0; i < 10; ++i) {
    Add(offset, "", uint64_t{1} << 29);
    offset += uint64_t{1} << 29;
  }
  Add(offset, "end");
  EXPECT_EQ(position_, (uint64_t{10} << 29) + 3);
  EXPECT_TRUE(out_.ends_with("end"));
}

TEST_F(ByteStreamTest, StartsAtTheFirstSegmentWhenNothingIsKnown) {
  ByteStream stream(budget_, counters_);
  capture::Segment segment;
  segment.seq = 77;
  segment.wire_len = 10;
  stream.Add(segment);
  Piece piece;
  ASSERT_TRUE(stream.Next(&piece));
  EXPECT_EQ(piece.position, 0u);
  EXPECT_EQ(stream.SeqAt(0), 77u);
  // What lies before is old, not an error, and no range of the stream.
  segment.seq = 60;
  segment.wire_len = 17;
  stream.Add(segment);
  EXPECT_FALSE(stream.Next(&piece));
  EXPECT_EQ(counters_.duplicate.bytes, 17u);
}

}  // namespace
}  // namespace podtap::reassembly
