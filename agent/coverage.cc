#include "agent/coverage.h"

#include <string_view>

#include "absl/strings/str_format.h"

namespace podtap {
namespace {

using capture::TrafficClass;

uint64_t PacketsOf(const CoverageFacts& facts, TrafficClass traffic_class) {
  return facts.traffic[static_cast<size_t>(traffic_class)].count();
}

Coverage JudgeUntapped(const CoverageFacts& facts) {
  if (!facts.exclusion.empty()) {
    return {v1::COVERAGE_STATE_EXCLUDED, "the pod is not watched: " + facts.exclusion};
  }
  if (facts.host_network) {
    return {v1::COVERAGE_STATE_HOST_NETWORK,
            "the pod uses the node's own network; its traffic can't be told from the node's"};
  }
  if (!facts.failure.empty()) {
    return {v1::COVERAGE_STATE_FAILED,
            facts.failed_interface.empty()
                ? absl::StrFormat("it could not be tapped inside its namespace: %s", facts.failure)
                : absl::StrFormat("its interface %s could not be tapped: %s",
                                  facts.failed_interface, facts.failure)};
  }
  if (facts.no_namespace) {
    return {v1::COVERAGE_STATE_NO_HOST_INTERFACE,
            "the container runtime does not say where the pod's network namespace is"};
  }
  return {v1::COVERAGE_STATE_NO_HOST_INTERFACE,
          "no interface of the node leads to the pod that sees its traffic: its network is of "
          "another kind (macvlan, ipvlan, SR-IOV; see --pod-netns), or is being made or gone"};
}

Coverage JudgeWithoutHttp(const CoverageFacts& facts) {
  const bool tls = PacketsOf(facts, TrafficClass::kTls) > 0;
  const bool http2 = PacketsOf(facts, TrafficClass::kHttp2) > 0;
  const bool http1 = PacketsOf(facts, TrafficClass::kHttp1) > 0;
  const bool other = PacketsOf(facts, TrafficClass::kOther) > 0;
  const bool unknown = PacketsOf(facts, TrafficClass::kUnknown) > 0;
  if (tls && !http2 && !http1) {
    return {v1::COVERAGE_STATE_TLS_ONLY,
            "the pod speaks TLS; what it carries is not read, its names and versions are listed"};
  }
  Coverage coverage{v1::COVERAGE_STATE_NO_HTTP_SEEN, ""};
  if (http2) {
    coverage.reason = "the pod speaks HTTP/2 in clear, which is not read";
  } else if (http1) {
    coverage.reason =
        "what began like HTTP/1 made no exchange: see the losses and doubts of the agent's ledger";
  } else if (other) {
    coverage.reason = "the pod speaks protocols other than HTTP";
  } else if (unknown) {
    coverage.reason = "the connections seen are older than the tap, or too short to tell";
  } else if (facts.packets > 0) {
    coverage.reason = "there were packets, but none of TCP with payload";
  } else {
    coverage.reason = "there was no packet yet";
  }
  return coverage;
}

}  // namespace

Coverage JudgeCoverage(const CoverageFacts& facts) {
  if (facts.taps == 0) {
    Coverage coverage = JudgeUntapped(facts);
    if (facts.has_loopback_tap) {
      coverage.reason += "; only its loopback is tapped";
    }
    return coverage;
  }
  if (facts.sides != enrichment::Sides::kBoth) {
    return {v1::COVERAGE_STATE_ONE_SIDED,
            absl::StrFormat("%s shows only what the pod %s: the node's network delivers the rest "
                            "past it; see --pod-netns",
                            facts.one_sided_interface,
                            facts.sides == enrichment::Sides::kFromPodOnly ? "sends" : "receives")};
  }
  if (facts.exchanges > 0) {
    return {v1::COVERAGE_STATE_TAPPED, "HTTP exchanges are seen"};
  }
  return JudgeWithoutHttp(facts);
}

void LastPacket::OnLook(const capture::TapCounters& counters, int64_t last_record_ns,
                        int64_t now_ns) {
  const uint64_t packets = capture::PacketsOf(counters);
  const uint64_t untimed_packets = packets - capture::TimedPacketsOf(counters);
  // TCP without payload belongs to the records, unless there were none.
  const bool has_records = last_record_ns > last_record_ns_;
  if (untimed_packets != untimed_packets_ || (packets != packets_ && !has_records)) {
    untimed_ns_ = now_ns;
  }
  packets_ = packets;
  untimed_packets_ = untimed_packets;
  last_record_ns_ = last_record_ns;
}

}  // namespace podtap
