#include "agent/coverage.h"

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

namespace podtap {
namespace {

using capture::TrafficClass;

// Facts of a pod with one tap and a packet of each class.
CoverageFacts Tapped(const std::vector<TrafficClass>& classes, uint64_t exchanges = 0) {
  CoverageFacts facts{.taps = 1, .exchanges = exchanges, .packets = 1};
  for (const TrafficClass traffic_class : classes) {
    facts.traffic[static_cast<size_t>(traffic_class)].by_direction[1].count = 1;
  }
  return facts;
}

struct CoverageRow {
  std::string name;
  CoverageFacts facts;
  v1::CoverageState state;
  // Part of the reason.
  std::string reason;
};

void PrintTo(const CoverageRow& row, std::ostream* out) { *out << row.name; }

std::vector<CoverageRow> CoverageTable() {
  using enum TrafficClass;
  std::vector<CoverageRow> rows = {
      {"host_network", {.host_network = true}, v1::COVERAGE_STATE_HOST_NETWORK, "node's own"},
      {"excluded",
       {.exclusion = "matches no --include-pod", .host_network = true},
       v1::COVERAGE_STATE_EXCLUDED,
       "not watched: matches no --include-pod"},
      {"no_interface", {}, v1::COVERAGE_STATE_NO_HOST_INTERFACE, "macvlan"},
      {"no_namespace", {.no_namespace = true}, v1::COVERAGE_STATE_NO_HOST_INTERFACE, "runtime"},
      {"failed",
       {.failed_interface = "veth7", .failure = "out of luck"},
       v1::COVERAGE_STATE_FAILED,
       "veth7 could not be tapped: out of luck"},
      {"failed_inside",
       {.failure = "out of luck"},
       v1::COVERAGE_STATE_FAILED,
       "inside its namespace: out of luck"},
      {"http", Tapped({kHttp1}, 1), v1::COVERAGE_STATE_TAPPED, "seen"},
      {"http_and_tls", Tapped({kHttp1, kTls}, 1), v1::COVERAGE_STATE_TAPPED, "seen"},
      {"tls", Tapped({kTls}), v1::COVERAGE_STATE_TLS_ONLY, "TLS"},
      {"tls_and_other", Tapped({kTls, kOther, kUnknown}), v1::COVERAGE_STATE_TLS_ONLY, "TLS"},
      {"http2", Tapped({kHttp2, kTls}), v1::COVERAGE_STATE_NO_HTTP_SEEN, "HTTP/2"},
      {"no_exchange", Tapped({kHttp1, kTls}), v1::COVERAGE_STATE_NO_HTTP_SEEN, "began like"},
      {"other", Tapped({kOther}), v1::COVERAGE_STATE_NO_HTTP_SEEN, "other than HTTP"},
      {"unknown", Tapped({kUnknown}), v1::COVERAGE_STATE_NO_HTTP_SEEN, "older than the tap"},
      {"no_payload", Tapped({}), v1::COVERAGE_STATE_NO_HTTP_SEEN, "none of TCP with payload"},
      {"silent", {.taps = 2}, v1::COVERAGE_STATE_NO_HTTP_SEEN, "no packet yet"},
  };
  // One interface failed, another is tapped.
  rows.push_back({"failed_in_part", Tapped({kHttp1}, 3), v1::COVERAGE_STATE_TAPPED, "seen"});
  rows.back().facts.failure = "out of luck";
  // Whatever was seen, there would be more.
  rows.push_back({"one_sided", Tapped({kHttp1}, 3), v1::COVERAGE_STATE_ONE_SIDED,
                  "veth7 shows only what the pod sends"});
  rows.back().facts.sides = enrichment::Sides::kFromPodOnly;
  rows.back().facts.one_sided_interface = "veth7";
  // What others exchange with the pod is not seen on its loopback.
  rows.push_back({"only_loopback", Tapped({kHttp1}, 3), v1::COVERAGE_STATE_NO_HOST_INTERFACE,
                  "macvlan, ipvlan, SR-IOV; see --pod-netns), or is being made or gone; only its "
                  "loopback is tapped"});
  rows.back().facts.taps = 0;
  rows.back().facts.has_loopback_tap = true;
  rows.push_back({"only_loopback_since_it_failed", rows.back().facts, v1::COVERAGE_STATE_FAILED,
                  "out of luck; only its loopback is tapped"});
  rows.back().facts.failure = "out of luck";
  // A proxy speaks TLS to others and HTTP to the application.
  rows.push_back(
      {"http_on_loopback", Tapped({kHttp1, kTls}, 3), v1::COVERAGE_STATE_TAPPED, "seen"});
  rows.back().facts.has_loopback_tap = true;
  return rows;
}

class CoverageTest : public ::testing::TestWithParam<CoverageRow> {};

TEST_P(CoverageTest, StateAndReason) {
  const Coverage coverage = JudgeCoverage(GetParam().facts);
  EXPECT_EQ(coverage.state, GetParam().state);
  EXPECT_NE(coverage.reason.find(GetParam().reason), std::string::npos) << coverage.reason;
}

INSTANTIATE_TEST_SUITE_P(All, CoverageTest, ::testing::ValuesIn(CoverageTable()),
                         [](const auto& row) { return row.param.name; });

// Looks at a tap's counters, ten seconds apart.
class LastPacketTest : public ::testing::Test {
 protected:
  static constexpr int64_t kSecond = 1'000'000'000;

  void Count(pt_count reason) { ++counters_[reason].by_direction[0].count; }
  int64_t Look(int64_t last_record_ns = 0) {
    now_ns_ += 10 * kSecond;
    last_packet_.OnLook(counters_, last_record_ns, now_ns_);
    return last_packet_.time_ns();
  }

  capture::TapCounters counters_{};
  LastPacket last_packet_;
  int64_t now_ns_ = 0;
};

TEST_F(LastPacketTest, ATapWithoutPacketsHasNone) {
  EXPECT_EQ(Look(), 0);
  EXPECT_EQ(Look(), 0);
}

TEST_F(LastPacketTest, ARecordTellsTheTimeOfItsPacketAndOfTheAcks) {
  Count(PT_COUNT_EXAMINED);
  Count(PT_COUNT_COPIED);
  Count(PT_COUNT_NO_PAYLOAD);
  EXPECT_EQ(Look(7 * kSecond), 7 * kSecond);
  EXPECT_EQ(Look(7 * kSecond), 7 * kSecond);
  Count(PT_COUNT_CLOSING);
  EXPECT_EQ(Look(23 * kSecond), 23 * kSecond);
}

TEST_F(LastPacketTest, OtherPacketsAreOfTheLookThatFindsThem) {
  Count(PT_COUNT_NOT_TCP);
  EXPECT_EQ(Look(), 10 * kSecond);
  EXPECT_EQ(Look(), 10 * kSecond);
  Count(PT_COUNT_NO_PAYLOAD);
  EXPECT_EQ(Look(), 30 * kSecond);
}

TEST_F(LastPacketTest, WhatIsNotReadKeepsAPodOfOldHttpFromLookingSilent) {
  Count(PT_COUNT_COPIED);
  EXPECT_EQ(Look(7 * kSecond), 7 * kSecond);
  Count(PT_COUNT_TLS);
  EXPECT_EQ(Look(7 * kSecond), 20 * kSecond);
  Count(PT_COUNT_COPIED);
  Count(PT_COUNT_OPAQUE);
  EXPECT_EQ(Look(21 * kSecond), 30 * kSecond);
}

// Reasons that a record goes along with are no others, and the other way round.
TEST_F(LastPacketTest, EachReasonIsTimedOrNot) {
  for (int reason = 0; reason < PT_COUNT_REASONS; ++reason) {
    capture::TapCounters one{};
    one[reason].by_direction[1].count = 1;
    EXPECT_EQ(capture::PacketsOf(one), 1u);
    EXPECT_LE(capture::TimedPacketsOf(one) + capture::LostPacketsOf(one), 1u) << reason;
  }
}

}  // namespace
}  // namespace podtap
