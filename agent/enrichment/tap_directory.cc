#include "agent/enrichment/tap_directory.h"

#include <utility>

#include "common/status.h"

namespace podtap::enrichment {

void TapDirectory::Publish(std::shared_ptr<const TapInfo> tap) {
  PODTAP_CHECK(tap != nullptr);
  const std::lock_guard lock(mutex_);
  const capture::TapId id = tap->id;
  table_.taps[id] = TapTable::Entry{.tap = std::move(tap), .retired = false};
  Changed();
}

void TapDirectory::Retire(const capture::TapId& id, int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  const auto found = table_.taps.find(id);
  if (found == table_.taps.end() || found->second.retired) {
    return;
  }
  found->second.retired = true;
  found->second.retired_ns = now_ns;
  tombstones_.push_back({id, now_ns});
  if (tombstones_.size() > limits_.max_tombstones) {
    table_.taps.erase(tombstones_.front().id);
    tombstones_.pop_front();
    ++tombstones_cut_;
  }
  Changed();
}

void TapDirectory::Expire(int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  bool changed = false;
  while (!tombstones_.empty() && now_ns - tombstones_.front().retired_ns >= limits_.tombstone_ns) {
    table_.taps.erase(tombstones_.front().id);
    tombstones_.pop_front();
    changed = true;
  }
  if (changed) {
    Changed();
  }
}

void TapDirectory::SetNodeAddresses(const std::vector<IpAddress>& addresses) {
  absl::flat_hash_set<IpAddress> set(addresses.begin(), addresses.end());
  const std::lock_guard lock(mutex_);
  if (set == table_.node_addresses) {
    return;
  }
  table_.node_addresses = std::move(set);
  Changed();
}

std::shared_ptr<const TapInfo> TapDirectory::Find(const capture::TapId& id) const {
  const std::lock_guard lock(mutex_);
  const auto found = table_.taps.find(id);
  return found == table_.taps.end() ? nullptr : found->second.tap;
}

uint64_t TapDirectory::CopyTo(TapTable& table) const {
  const std::lock_guard lock(mutex_);
  table = table_;
  return version_.load(std::memory_order_relaxed);
}

}  // namespace podtap::enrichment
