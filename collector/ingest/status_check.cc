#include "collector/ingest/status_check.h"

#include <algorithm>
#include <string>
#include <tuple>
#include <utility>

#include "common/text.h"

namespace podtap::ingest {
namespace {

constexpr size_t kMaxNameBytes = 253;
constexpr int kMaxLedgerLines = 256;
constexpr size_t kMaxLedgerNameBytes = 64;
constexpr int kMaxTlsUses = 1024;
constexpr int kMaxTlsProtocols = 8;
constexpr int kMaxPods = 1024;
constexpr int kMaxInterfaces = 32;
constexpr int kMaxClasses = 16;
constexpr size_t kMaxReasonBytes = 1024;

// Keeps the lines that can be shown; returns how many could not.
int PrepareLedger(v1::AgentStatus& status) {
  google::protobuf::RepeatedPtrField<v1::LedgerEntry> kept;
  for (v1::LedgerEntry& entry : *status.mutable_ledger()) {
    const bool has_stage =
        entry.stage() != v1::LEDGER_STAGE_UNSPECIFIED && v1::LedgerStage_IsValid(entry.stage());
    if (kept.size() < kMaxLedgerLines && has_stage && !entry.name().empty() &&
        entry.name().size() <= kMaxLedgerNameBytes) {
      entry.set_name(SafeText(entry.name(), kMaxLedgerNameBytes));
      entry.DiscardUnknownFields();
      *kept.Add() = std::move(entry);
    }
  }
  const int ignored = status.ledger_size() - kept.size();
  *status.mutable_ledger() = std::move(kept);
  status.DiscardUnknownFields();
  return ignored;
}

// The same for what is told of TLS.
int PrepareTlsUses(v1::AgentStatus& status) {
  google::protobuf::RepeatedPtrField<v1::TlsUse> kept;
  for (v1::TlsUse& use : *status.mutable_tls_uses()) {
    const bool has_reporter =
        use.reporter() != v1::REPORTER_UNSPECIFIED && v1::Reporter_IsValid(use.reporter());
    if (kept.size() == kMaxTlsUses || !has_reporter ||
        use.offered_protocols_size() > kMaxTlsProtocols) {
      continue;
    }
    for (std::string* text :
         {use.mutable_namespace_(), use.mutable_pod_name(), use.mutable_server_name(),
          use.mutable_protocol_version(), use.mutable_next_protocol()}) {
      *text = SafeText(*text, kMaxNameBytes);
    }
    for (std::string& protocol : *use.mutable_offered_protocols()) {
      protocol = SafeText(protocol, kMaxNameBytes);
    }
    *kept.Add() = std::move(use);
  }
  const int ignored = status.tls_uses_size() - kept.size();
  *status.mutable_tls_uses() = std::move(kept);
  return ignored;
}

auto KeyOf(const v1::PodCoverage& pod) {
  return std::tie(pod.namespace_(), pod.pod_name(), pod.pod_uid());
}

template <typename Message>
void Cut(google::protobuf::RepeatedPtrField<Message>& list, int size) {
  if (list.size() > size) {
    list.DeleteSubrange(size, list.size() - size);
  }
}

// The same for the coverage of pods.
int PreparePods(v1::AgentStatus& status) {
  google::protobuf::RepeatedPtrField<v1::PodCoverage> kept;
  for (v1::PodCoverage& pod : *status.mutable_pods()) {
    const bool has_state = pod.state() != v1::COVERAGE_STATE_UNSPECIFIED;
    if (kept.size() == kMaxPods || !has_state) {
      continue;
    }
    // A pod's state is worth more than the end of its lists.
    Cut(*pod.mutable_interfaces(), kMaxInterfaces);
    Cut(*pod.mutable_traffic(), kMaxClasses);
    for (std::string* text :
         {pod.mutable_namespace_(), pod.mutable_pod_name(), pod.mutable_pod_uid()}) {
      *text = SafeText(*text, kMaxNameBytes);
    }
    if (pod.has_workload()) {
      *pod.mutable_workload()->mutable_kind() = SafeText(pod.workload().kind(), kMaxNameBytes);
      *pod.mutable_workload()->mutable_name() = SafeText(pod.workload().name(), kMaxNameBytes);
    }
    *pod.mutable_reason() = SafeText(pod.reason(), kMaxReasonBytes);
    for (v1::TappedInterface& tapped : *pod.mutable_interfaces()) {
      *tapped.mutable_name() = SafeText(tapped.name(), kMaxNameBytes);
    }
    *kept.Add() = std::move(pod);
  }
  std::sort(kept.begin(), kept.end(),
            [](const auto& a, const auto& b) { return KeyOf(a) < KeyOf(b); });
  kept.erase(std::unique(kept.begin(), kept.end(),
                         [](const auto& a, const auto& b) { return KeyOf(a) == KeyOf(b); }),
             kept.end());
  const int ignored = status.pods_size() - kept.size();
  *status.mutable_pods() = std::move(kept);
  return ignored;
}

}  // namespace

int PrepareStatus(v1::AgentStatus& status) {
  return PrepareLedger(status) + PrepareTlsUses(status) + PreparePods(status);
}

}  // namespace podtap::ingest
