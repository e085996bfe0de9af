// Every transcript, played whole, byte by byte, cut at every position, reordered, with every
// segment sent twice and with every segment lost.
#include "tests/unit/pipeline/transcript.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podtap {
namespace {

using testing::CutAll;
using testing::CutOne;
using testing::Describe;
using testing::DescribeAll;
using ::testing::ElementsAreArray;
using testing::PipelineHarness;
using testing::Place;
using testing::PlacedSegment;
using testing::Play;
using testing::Transcript;

constexpr uint32_t kRetransmitted = static_cast<uint32_t>(pairing::Flag::kRetransmitted);
constexpr uint32_t kReordered = static_cast<uint32_t>(pairing::Flag::kReordered);
constexpr uint32_t kInDoubt = static_cast<uint32_t>(pairing::Flag::kGap) |
                              static_cast<uint32_t>(pairing::Flag::kHeadersTruncated) |
                              static_cast<uint32_t>(pairing::Flag::kFramingInferred);

// Enough of a start line to be taken for one.
constexpr size_t kStartLineBytes = 8;

// Playing costs as much as there are segments, so of many only some are treated one by one.
size_t StepFor(const std::vector<PlacedSegment>& segments) {
  const size_t size = segments.size();
  return 1 + size * size / 20'000;
}

class TranscriptTest : public ::testing::TestWithParam<std::string> {
 protected:
  TranscriptTest()
      : transcript_(testing::LoadTranscript(PODTAP_TEST_DATA "/http/" + GetParam() + ".txt")),
        placed_(Place(transcript_.segments)) {}

  // Same answer as the transcript says.
  void ExpectSame(const std::vector<PlacedSegment>& segments, uint32_t ignored,
                  const std::string& how) {
    PipelineHarness harness;
    Play(transcript_, segments, &harness);
    SCOPED_TRACE(how);
    std::vector<std::string> expected = transcript_.expected;
    EXPECT_THAT(DescribeAll(harness.exchanges(), ignored), ElementsAreArray(expected));
    EXPECT_EQ(harness.CheckLedger(), "");
    EXPECT_EQ(harness.pipeline.connections(), 0u);
    EXPECT_EQ(harness.Bytes("buffered"), 0u);
    EXPECT_EQ(harness.pipeline.open_exchanges(), 0u);
  }

  // Responses name the request they answer; nothing may be paired with another's.
  static void ExpectNoWrongPair(const PipelineHarness& harness) {
    for (const pairing::Exchange& exchange : harness.exchanges()) {
      if (!exchange.response) {
        continue;
      }
      const auto answered = exchange.response->head.headers.Find("x-for");
      if (answered) {
        EXPECT_EQ(*answered, exchange.request.target);
      }
    }
  }

  // Something was lost: what differs from the transcript says so.
  void ExpectHonest(const std::vector<PlacedSegment>& segments, int64_t step_ns,
                    const std::string& how) {
    PipelineHarness harness;
    harness.step_ns = step_ns;
    Play(transcript_, segments, &harness);
    SCOPED_TRACE(how);
    ExpectNoWrongPair(harness);
    EXPECT_EQ(harness.CheckLedger(), "");
    EXPECT_EQ(harness.Bytes("buffered"), 0u);
    const std::set<std::string> expected(transcript_.expected.begin(), transcript_.expected.end());
    for (const pairing::Exchange& exchange : harness.exchanges()) {
      const std::string got = Describe(exchange, kReordered | kRetransmitted);
      const bool incomplete = exchange.outcome != pairing::Outcome::kComplete;
      EXPECT_TRUE(expected.count(got) > 0 || (exchange.flags & kInDoubt) != 0 || incomplete)
          << "got " << got;
    }
  }

  Transcript transcript_;
  std::vector<PlacedSegment> placed_;
};

TEST_P(TranscriptTest, Whole) {
  PipelineHarness harness;
  Play(transcript_, placed_, &harness);
  EXPECT_THAT(DescribeAll(harness.exchanges()), ElementsAreArray(transcript_.expected));
  EXPECT_EQ(harness.CheckLedger(), "");
  for (const auto& [name, count] : transcript_.expected_counts) {
    EXPECT_EQ(harness.Count(name), count) << name;
  }
  ExpectNoWrongPair(harness);
}

TEST_P(TranscriptTest, ByteByByte) {
  // Connections are picked up, and found again, only where a segment looks like a start line.
  if (transcript_.only_whole || transcript_.midstream) {
    return;
  }
  ExpectSame(CutAll(placed_, 1), 0, "bytes");
}

TEST_P(TranscriptTest, CutAtEveryPosition) {
  if (transcript_.only_whole) {
    return;
  }
  for (size_t i = 0; i < placed_.size(); ++i) {
    const size_t size = placed_[i].segment.bytes.size();
    // Long runs of one byte need not be cut at each.
    const size_t step = size > 1000 ? 97 : 1;
    for (size_t at = transcript_.midstream ? kStartLineBytes : 1; at < size; at += step) {
      ExpectSame(CutOne(placed_, i, at), 0,
                 "segment " + std::to_string(i) + " cut at " + std::to_string(at));
      if (HasFailure()) {
        return;
      }
    }
  }
}

TEST_P(TranscriptTest, NeighboursReordered) {
  if (transcript_.only_whole || transcript_.midstream) {
    return;
  }
  for (const size_t size : {size_t{100'000}, size_t{7}, size_t{1}}) {
    const std::vector<PlacedSegment> cut = CutAll(placed_, size);
    const size_t step = StepFor(cut);
    for (size_t i = 0; i + 1 < cut.size(); i += step) {
      const testing::ScriptSegment& first = cut[i].segment;
      const testing::ScriptSegment& second = cut[i + 1].segment;
      // What depends on each other does not overtake.
      if (first.from_client != second.from_client || second.rst) {
        continue;
      }
      std::vector<PlacedSegment> swapped = cut;
      std::swap(swapped[i], swapped[i + 1]);
      ExpectSame(swapped, kReordered,
                 "size " + std::to_string(size) + ", swapped at " + std::to_string(i));
      if (HasFailure()) {
        return;
      }
    }
  }
}

TEST_P(TranscriptTest, EachSegmentTwice) {
  if (transcript_.only_whole) {
    return;
  }
  for (const size_t size : {size_t{100'000}, size_t{13}}) {
    const std::vector<PlacedSegment> cut = CutAll(placed_, size);
    const size_t step = StepFor(cut);
    for (size_t i = 0; i < cut.size(); i += step) {
      if (cut[i].segment.rst) {
        continue;
      }
      for (const size_t later : {size_t{1}, size_t{2}}) {
        std::vector<PlacedSegment> twice = cut;
        const size_t at = std::min(i + later, cut.size());
        twice.insert(twice.begin() + static_cast<ptrdiff_t>(at), cut[i]);
        ExpectSame(twice, kReordered | kRetransmitted,
                   "size " + std::to_string(size) + ", twice at " + std::to_string(i));
      }
      if (HasFailure()) {
        return;
      }
    }
  }
}

TEST_P(TranscriptTest, EachSegmentLost) {
  for (const size_t size : {size_t{100'000}, size_t{40}, size_t{3}}) {
    const std::vector<PlacedSegment> cut = CutAll(placed_, size);
    const size_t step = StepFor(cut);
    for (size_t i = 0; i < cut.size(); i += step) {
      std::vector<PlacedSegment> rest = cut;
      rest.erase(rest.begin() + static_cast<ptrdiff_t>(i));
      // Gaps give up long after the next segments, and before them.
      for (const int64_t step_ns : {int64_t{1'000'000}, int64_t{2'000'000'000}}) {
        ExpectHonest(rest, step_ns,
                     "size " + std::to_string(size) + ", lost " + std::to_string(i) + ", step " +
                         std::to_string(step_ns));
      }
      if (HasFailure()) {
        return;
      }
    }
  }
}

TEST_P(TranscriptTest, PairOfSegmentsLost) {
  // Without a sequence number to start from, a loss at the start can't be seen.
  if (transcript_.midstream) {
    return;
  }
  const std::vector<PlacedSegment> cut = CutAll(placed_, 100'000);
  for (size_t i = 0; i < cut.size(); ++i) {
    for (size_t j = i + 1; j < cut.size(); ++j) {
      std::vector<PlacedSegment> rest = cut;
      rest.erase(rest.begin() + static_cast<ptrdiff_t>(j));
      rest.erase(rest.begin() + static_cast<ptrdiff_t>(i));
      ExpectHonest(rest, 1'000'000, "lost " + std::to_string(i) + " and " + std::to_string(j));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Http, TranscriptTest, ::testing::ValuesIn(testing::ListTranscripts()),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace podtap
