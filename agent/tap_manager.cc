#include "agent/tap_manager.h"

#include <memory>
#include <utility>

#include "common/log.h"

namespace podtap {
namespace {

constexpr int64_t kSweepIntervalNs = int64_t{60} * 1'000'000'000;
// Longer than the pipeline's own idle time-out, so that only what it never heard of is swept.
constexpr int64_t kSweepIdleNs = int64_t{900} * 1'000'000'000;

}  // namespace

void TapManager::OnView(const discovery::View& view) {
  directory_.SetNodeAddresses(view.node_addresses);
  namespaces_left_out_ = view.namespaces_left_out;
  pods_cut_ = view.pods_cut;
  pods_host_network_ = view.pods_host_network;
  pods_without_interface_ = view.pods_without_interface;
  labels_left_out_ = view.labels_left_out;
  std::map<uint32_t, const discovery::WantedTap*> wanted;
  for (const discovery::WantedTap& tap : view.taps) {
    wanted.emplace(tap.interface_index, &tap);
  }
  CloseUnwanted(wanted);
  for (const discovery::WantedTap& tap : view.taps) {
    if (const auto found = open_.find(tap.interface_index); found == open_.end()) {
      Open(tap);
    } else if (found->second.wanted.pod != tap.pod) {
      // More is known of the pod than before, such as a container.
      found->second.wanted.pod = tap.pod;
      Publish(found->second);
    }
  }
  if (open_.empty() && !idle_logged_) {
    PODTAP_LOG_INFO("no pod interface found yet; waiting for one");
  }
  idle_logged_ = open_.empty();
  std::erase_if(reported_, [&](uint32_t index) { return !wanted.contains(index); });
  directory_.Expire(clock_.MonotonicNs());
  Sweep();
  has_looked_ = true;
}

void TapManager::CloseUnwanted(const std::map<uint32_t, const discovery::WantedTap*>& wanted) {
  for (auto it = open_.begin(); it != open_.end();) {
    const auto& [index, tap] = *it;
    const auto match = wanted.find(index);
    // An index can be given to another interface, and an interface to another pod.
    if (match != wanted.end() && match->second->IsSameTap(tap.wanted) && taps_.IsBound(tap.id)) {
      ++it;
      continue;
    }
    PODTAP_LOG_INFO("closed tap of {} for pod {}", tap.wanted.interface_name,
                    tap.wanted.pod.pod_name);
    directory_.Retire(tap.id, clock_.MonotonicNs());
    taps_.Close(tap.id);
    ++closed_;
    it = open_.erase(it);
  }
}

void TapManager::Publish(const OpenTap& tap) {
  directory_.Publish(std::make_shared<const enrichment::TapInfo>(
      enrichment::TapInfo{.id = tap.id,
                          .interface_index = tap.wanted.interface_index,
                          .interface_name = tap.wanted.interface_name,
                          .mode = enrichment::CaptureMode::kHostVeth,
                          .opened_ns = tap.opened_ns,
                          .pod = std::make_shared<const discovery::PodIdentity>(tap.wanted.pod)}));
}

void TapManager::Open(const discovery::WantedTap& wanted) {
  absl::StatusOr<capture::TapId> id = taps_.Reserve();
  absl::Status status = id.status();
  OpenTap tap{.wanted = wanted, .id = {}, .opened_ns = clock_.MonotonicNs()};
  if (id.ok()) {
    tap.id = *id;
    // Known before its first packet can arrive.
    Publish(tap);
    status = taps_.Open(*id, wanted.interface_index, capture::Polarity::kHostSide);
    if (!status.ok()) {
      directory_.Retire(*id, clock_.MonotonicNs());
    }
  }
  if (status.ok()) {
    ++opened_;
    open_.emplace(wanted.interface_index, std::move(tap));
    PODTAP_LOG_INFO("tapping {} for pod {}", wanted.interface_name, wanted.pod.pod_name);
    return;
  }
  // Gone again before we came: usual while a pod is being deleted.
  if (absl::IsNotFound(status)) {
    return;
  }
  ++failed_;
  if (reported_.insert(wanted.interface_index).second) {
    PODTAP_LOG_WARN("can't tap {} for pod {}: {}", wanted.interface_name, wanted.pod.pod_name,
                    std::string(status.message()));
  }
}

void TapManager::Sweep() {
  const int64_t now_ns = clock_.MonotonicNs();
  if (now_ns - last_sweep_ns_ >= kSweepIntervalNs) {
    last_sweep_ns_ = now_ns;
    swept_ += connections_.Sweep(now_ns - kSweepIdleNs);
  }
}

}  // namespace podtap
