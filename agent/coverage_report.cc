#include "agent/coverage_report.h"

#include <algorithm>
#include <utility>

#include "agent/coverage.h"
#include "agent/ledger.h"
#include "common/text.h"

namespace podtap {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr size_t kMaxErrorBytes = 256;

void AddTraffic(const capture::Traffic& traffic, v1::PodCoverage& coverage) {
  // In the order of capture::TrafficClass.
  constexpr v1::TrafficClass kClasses[capture::kTrafficClasses] = {
      v1::TRAFFIC_CLASS_HTTP1, v1::TRAFFIC_CLASS_HTTP2, v1::TRAFFIC_CLASS_TLS,
      v1::TRAFFIC_CLASS_OTHER, v1::TRAFFIC_CLASS_UNKNOWN};
  for (size_t i = 0; i < traffic.size(); ++i) {
    if (traffic[i].count() > 0) {
      const auto& [sent, received] = traffic[i].by_direction;
      v1::ClassTraffic& entry = *coverage.add_traffic();
      entry.set_traffic_class(kClasses[i]);
      entry.set_packets_sent(sent.count);
      entry.set_packets_received(received.count);
      entry.set_bytes_sent(sent.bytes);
      entry.set_bytes_received(received.bytes);
    }
  }
}

}  // namespace

struct CoverageReport::PodEntry {
  CoverageFacts facts;
  v1::PodCoverage coverage;
  int64_t last_packet_ns = 0;
};

CoverageReport::PodEntry& CoverageReport::EntryOf(PodEntries& pods,
                                                  const discovery::PodIdentity& identity) {
  PodEntry& entry = pods[{identity.namespace_name, identity.pod_name, identity.pod_uid}];
  entry.coverage.set_namespace_(identity.namespace_name);
  entry.coverage.set_pod_name(identity.pod_name);
  entry.coverage.set_pod_uid(identity.pod_uid);
  if (!identity.workload.name.empty()) {
    entry.coverage.mutable_workload()->set_kind(identity.workload.kind);
    entry.coverage.mutable_workload()->set_name(identity.workload.name);
  }
  return entry;
}

void CoverageReport::AddUntapped(PodEntries& pods) const {
  using Reason = discovery::UntappedPod::Reason;
  const std::shared_ptr<const PodsWithoutTap> without_tap = manager_.without_tap();
  for (const discovery::UntappedPod& pod : without_tap->untapped) {
    CoverageFacts& facts = EntryOf(pods, pod.identity).facts;
    facts.host_network = pod.reason == Reason::kHostNetwork;
    facts.no_namespace = pod.reason == Reason::kNoNamespace;
  }
  for (const FailedTap& failed : without_tap->failed) {
    CoverageFacts& facts = EntryOf(pods, failed.pod).facts;
    facts.failed_interface = SafeText(failed.interface_name, kMaxErrorBytes);
    facts.failure = SafeText(failed.error, kMaxErrorBytes);
  }
}

void CoverageReport::AddTap(PodEntry& pod, const enrichment::TapInfo& tap, LastLooks& looks) const {
  const absl::StatusOr<capture::TapCounters> counters = taps_.Counters(tap.id);
  if (!counters.ok()) {
    // Closed meanwhile.
    return;
  }
  LastLook look{.packets = capture::PacketsOf(*counters)};
  const auto before = looks_.find(tap.id);
  if (before != looks_.end() && before->second.packets == look.packets) {
    look.changed_ns = before->second.changed_ns;
  } else if (look.packets > 0) {
    look.changed_ns = clock_.MonotonicNs();
  }
  looks[tap.id] = look;
  const TapActivity::Values activity = activity_.Get(tap.id);
  const capture::Traffic traffic = capture::TrafficOf(*counters);
  ++pod.facts.taps;
  pod.facts.exchanges += activity.exchanges + activity.open_exchanges;
  pod.facts.packets += look.packets;
  for (size_t i = 0; i < traffic.size(); ++i) {
    for (size_t direction = 0; direction < 2; ++direction) {
      pod.facts.traffic[i].by_direction[direction].count +=
          traffic[i].by_direction[direction].count;
      pod.facts.traffic[i].by_direction[direction].bytes +=
          traffic[i].by_direction[direction].bytes;
    }
  }
  // A record tells the time; a count that has grown, only that it was since the look before.
  const bool only_http = pod.facts.exchanges > 0 && activity.last_record_ns > 0;
  pod.last_packet_ns =
      std::max(pod.last_packet_ns, only_http ? activity.last_record_ns : look.changed_ns);
  v1::PodCoverage& coverage = pod.coverage;
  coverage.set_exchanges(coverage.exchanges() + activity.exchanges);
  coverage.set_open_exchanges(coverage.open_exchanges() + activity.open_exchanges);
  coverage.set_lost_packets(coverage.lost_packets() + capture::LostPacketsOf(*counters));
  v1::TappedInterface& tapped = *coverage.add_interfaces();
  tapped.set_name(SafeText(tap.interface_name, kMaxErrorBytes));
  tapped.set_index(tap.interface_index);
  tapped.set_mode(static_cast<v1::CaptureMode>(tap.mode));
  *tapped.mutable_open_time() = ToTimestamp(tap.opened_ns);
  if (tap.attach_delay_ns) {
    tapped.mutable_attach_delay()->set_seconds(*tap.attach_delay_ns / kNsPerSecond);
    tapped.mutable_attach_delay()->set_nanos(
        static_cast<int32_t>(*tap.attach_delay_ns % kNsPerSecond));
  }
  tapped.set_packets_before(tap.packets_before);
}

google::protobuf::Timestamp CoverageReport::ToTimestamp(int64_t monotonic_ns) const {
  const int64_t unix_ns = monotonic_ns + clock_.WallNs() - clock_.MonotonicNs();
  google::protobuf::Timestamp time;
  time.set_seconds(unix_ns / kNsPerSecond);
  time.set_nanos(static_cast<int32_t>(unix_ns % kNsPerSecond));
  return time;
}

void CoverageReport::AddTo(v1::AgentStatus& status) {
  const std::lock_guard lock(mutex_);
  if (frozen_) {
    status.MergeFrom(*frozen_);
  } else {
    Gather(status);
  }
}

void CoverageReport::Freeze() {
  const std::lock_guard lock(mutex_);
  v1::AgentStatus last;
  Gather(last);
  frozen_ = std::move(last);
}

void CoverageReport::Gather(v1::AgentStatus& status) {
  PodEntries pods;
  AddUntapped(pods);
  enrichment::TapTable table;
  directory_.CopyTo(table);
  LastLooks looks;
  for (const auto& [id, entry] : table.taps) {
    if (!entry.retired && entry.tap->pod != nullptr) {
      AddTap(EntryOf(pods, *entry.tap->pod), *entry.tap, looks);
    }
  }
  looks_ = std::move(looks);
  for (auto& [key, pod] : pods) {
    if (static_cast<size_t>(status.pods_size()) == kMaxPods) {
      break;
    }
    Coverage judged = JudgeCoverage(pod.facts);
    pod.coverage.set_state(judged.state);
    pod.coverage.set_reason(std::move(judged.reason));
    AddTraffic(pod.facts.traffic, pod.coverage);
    if (pod.last_packet_ns > 0) {
      *pod.coverage.mutable_last_packet_time() = ToTimestamp(pod.last_packet_ns);
    }
    std::sort(pod.coverage.mutable_interfaces()->begin(), pod.coverage.mutable_interfaces()->end(),
              [](const auto& a, const auto& b) { return a.index() < b.index(); });
    *status.add_pods() = std::move(pod.coverage);
  }
  const CounterValue left_out{.name = "pods_not_reported",
                              .count = pods.size() - static_cast<size_t>(status.pods_size())};
  *status.add_ledger() = ToLedgerEntry({LedgerStage::kCapture, left_out});
}

}  // namespace podtap
