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
    facts.exclusion = pod.exclusion;
  }
  for (const FailedTap& failed : without_tap->failed) {
    CoverageFacts& facts = EntryOf(pods, failed.pod).facts;
    facts.failed_interface = SafeText(failed.interface_name, kMaxErrorBytes);
    facts.failure = SafeText(failed.error, kMaxErrorBytes);
  }
}

void CoverageReport::AddTap(PodEntry& pod, const enrichment::TapInfo& tap,
                            const capture::TapCounters& counters, LastPackets& last_packets) const {
  const TapActivity::Values activity = activity_.Get(tap.id);
  const auto before = last_packets_.find(tap.id);
  LastPacket last_packet = before == last_packets_.end() ? LastPacket() : before->second;
  last_packet.OnLook(counters, activity.last_record_ns, clock_.MonotonicNs());
  last_packets[tap.id] = last_packet;
  pod.last_packet_ns = std::max(pod.last_packet_ns, last_packet.time_ns());
  const capture::Traffic traffic = capture::TrafficOf(counters);
  if (enrichment::IsLoopback(tap)) {
    pod.facts.has_loopback_tap = true;
  } else {
    ++pod.facts.taps;
  }
  if (tap.sides != enrichment::Sides::kBoth) {
    pod.facts.sides = tap.sides;
    pod.facts.one_sided_interface = SafeText(tap.interface_name, kMaxErrorBytes);
  }
  pod.facts.exchanges += activity.exchanges + activity.open_exchanges;
  pod.facts.packets += capture::PacketsOf(counters);
  for (size_t i = 0; i < traffic.size(); ++i) {
    for (size_t direction = 0; direction < 2; ++direction) {
      pod.facts.traffic[i].by_direction[direction].count +=
          traffic[i].by_direction[direction].count;
      pod.facts.traffic[i].by_direction[direction].bytes +=
          traffic[i].by_direction[direction].bytes;
    }
  }
  v1::PodCoverage& coverage = pod.coverage;
  coverage.set_exchanges(coverage.exchanges() + activity.exchanges);
  coverage.set_open_exchanges(coverage.open_exchanges() + activity.open_exchanges);
  coverage.set_lost_packets(coverage.lost_packets() + capture::LostPacketsOf(counters));
  *coverage.add_interfaces() = Describe(tap);
}

v1::TappedInterface CoverageReport::Describe(const enrichment::TapInfo& tap) const {
  v1::TappedInterface tapped;
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
  return tapped;
}

google::protobuf::Timestamp CoverageReport::ToTimestamp(int64_t monotonic_ns) const {
  const int64_t unix_ns = monotonic_ns + clock_.WallNs() - clock_.MonotonicNs();
  google::protobuf::Timestamp time;
  time.set_seconds(unix_ns / kNsPerSecond);
  time.set_nanos(static_cast<int32_t>(unix_ns % kNsPerSecond));
  return time;
}

void CoverageReport::AddTo(v1::AgentStatus& status, const capture::AllCounters& counters) {
  const std::lock_guard lock(mutex_);
  if (frozen_) {
    status.MergeFrom(*frozen_);
  } else {
    Gather(status, counters);
  }
}

void CoverageReport::Freeze(const capture::AllCounters& counters) {
  const std::lock_guard lock(mutex_);
  v1::AgentStatus last;
  Gather(last, counters);
  frozen_ = std::move(last);
}

void CoverageReport::Gather(v1::AgentStatus& status, const capture::AllCounters& counters) {
  PodEntries pods;
  AddUntapped(pods);
  enrichment::TapTable table;
  directory_.CopyTo(table);
  LastPackets last_packets;
  for (const auto& [id, entry] : table.taps) {
    if (!entry.retired && entry.tap->pod != nullptr) {
      const auto counted = counters.by_tap.find(id);
      // One that is not among them was opened since.
      AddTap(EntryOf(pods, *entry.tap->pod), *entry.tap,
             counted == counters.by_tap.end() ? capture::TapCounters() : counted->second,
             last_packets);
    }
  }
  last_packets_ = std::move(last_packets);
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
    auto& interfaces = *pod.coverage.mutable_interfaces();
    std::sort(interfaces.begin(), interfaces.end(),
              [](const auto& a, const auto& b) { return a.index() < b.index(); });
    if (interfaces.size() > kMaxInterfaces) {
      interfaces.DeleteSubrange(kMaxInterfaces, interfaces.size() - kMaxInterfaces);
    }
    *status.add_pods() = std::move(pod.coverage);
  }
  const CounterValue left_out{.name = "pods_not_reported",
                              .count = pods.size() - static_cast<size_t>(status.pods_size())};
  *status.add_ledger() = ToLedgerEntry({LedgerStage::kCapture, left_out});
}

}  // namespace podtap
