#include "agent/enrichment/tls_inventory.h"

#include <string>
#include <tuple>

namespace podtap::enrichment {

void TlsInventory::OnHandshake(const capture::TapId& tap, bool pod_is_client,
                               tls::Handshake handshake) {
  const Uses::key_type key(pod_is_client ? Reporter::kClient : Reporter::kServer,
                           std::move(handshake));
  const std::lock_guard lock(mutex_);
  const auto of_tap = uses_.find(tap);
  if (of_tap != uses_.end()) {
    if (const auto known = of_tap->second.find(key); known != of_tap->second.end()) {
      ++known->second;
      return;
    }
    if (of_tap->second.size() >= limits_.max_uses_per_tap) {
      ++refused_;
      return;
    }
  }
  if (size_ >= limits_.max_uses) {
    Prune();
  }
  if (size_ >= limits_.max_uses) {
    ++refused_;
    return;
  }
  uses_[tap].emplace(key, 1);
  ++size_;
}

std::vector<TlsUse> TlsInventory::List() {
  // Taps of one pod come together, and pods of one name.
  std::map<std::tuple<std::string, std::string, Reporter, tls::Handshake>, TlsUse> merged;
  const std::lock_guard lock(mutex_);
  Prune();
  for (const auto& [id, uses] : uses_) {
    const std::shared_ptr<const TapInfo> tap = directory_.Find(id);
    // Told once the pod is known.
    if (tap == nullptr || tap->pod == nullptr || tap->is_excluded) {
      continue;
    }
    for (const auto& [key, connections] : uses) {
      const auto& [seen_by, handshake] = key;
      // What stays in the pod is reported once, as served by it.
      const Reporter reporter = IsLoopback(*tap) ? Reporter::kServer : seen_by;
      TlsUse& use = merged[{tap->pod->namespace_name, tap->pod->pod_name, reporter, handshake}];
      use.pod = tap->pod;
      use.reporter = reporter;
      use.handshake = handshake;
      use.connections += connections;
    }
  }
  std::vector<TlsUse> list;
  list.reserve(merged.size());
  for (auto& [key, use] : merged) {
    list.push_back(std::move(use));
  }
  return list;
}

void TlsInventory::Prune() {
  const uint64_t version = directory_.version();
  if (version == pruned_version_) {
    return;
  }
  pruned_version_ = version;
  for (auto it = uses_.begin(); it != uses_.end();) {
    const auto current = it++;
    if (directory_.Find(current->first) == nullptr) {
      size_ -= current->second.size();
      uses_.erase(current);
    }
  }
}

}  // namespace podtap::enrichment
