// How much is seen of a pod, and why no more: states and reasons. Pure. See docs/coverage.md.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>

#include "agent/capture/tap_counters.h"
#include "agent/enrichment/event.h"
#include "podtap/v1/ingest_service.pb.h"

namespace podtap {

// What is known of one pod's taps together, or of why there is none.
struct CoverageFacts {
  // Open taps, but for those of loopback.
  uint32_t taps = 0;
  // The pod's loopback is tapped. What goes over it counts in the figures below; it makes no pod a
  // tapped one, since what others exchange with the pod is not seen there.
  bool has_loopback_tap = false;
  // Why there is no tap, as far as known; these count when there is none. Of a pod that is not to
  // be watched: why not.
  std::string exclusion;
  bool host_network = false;
  bool no_namespace = false;
  // An interface of the pod that could not be tapped, and what the kernel said.
  std::string failed_interface;
  std::string failure;
  // A tapped interface that shows one direction only, and which.
  std::string one_sided_interface;
  enrichment::Sides sides = enrichment::Sides::kBoth;

  // Exchanges, ended or open.
  uint64_t exchanges = 0;
  capture::Traffic traffic{};
  // Packets of any kind, both ways.
  uint64_t packets = 0;
};

struct Coverage {
  v1::CoverageState state = v1::COVERAGE_STATE_UNSPECIFIED;
  // A sentence; printable when the facts are.
  std::string reason;
};

Coverage JudgeCoverage(const CoverageFacts& facts);

// When the newest packet of a tap came, from looks at its counters. All times are monotonic, 0
// where there is none.
//
// A record tells the time of its packet. Of packets without a record a look says no more than that
// they came since the look before: the time of the look stands for theirs.
class LastPacket {
 public:
  void OnLook(const capture::TapCounters& counters, int64_t last_record_ns, int64_t now_ns);
  int64_t time_ns() const { return std::max(last_record_ns_, untimed_ns_); }

 private:
  uint64_t packets_ = 0;
  uint64_t untimed_packets_ = 0;
  int64_t last_record_ns_ = 0;
  // When a look found packets without a record.
  int64_t untimed_ns_ = 0;
};

}  // namespace podtap
