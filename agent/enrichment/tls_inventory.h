// What TLS the pods use, as the hellos of their connections tell: connections that are alike are
// one entry with a count.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "agent/enrichment/event.h"
#include "agent/enrichment/tap_directory.h"
#include "agent/tls/handshake.h"
#include "common/counter.h"

namespace podtap::enrichment {

// Connections of one pod that are alike.
struct TlsUse {
  std::shared_ptr<const discovery::PodIdentity> pod;
  // kClient: the pod opened them; kServer: it serves them, or both.
  Reporter reporter = Reporter::kClient;
  tls::Handshake handshake;
  uint64_t connections = 0;
};

// Bounds of the inventory; hits are counted as tls_uses_refused.
struct TlsInventoryLimits {
  size_t max_uses = 1024;
  // A pod that makes up names must not fill the inventory.
  size_t max_uses_per_tap = 64;
};

// Thread-safe: shards put in, the status takes out. Entries live as long as the directory knows
// their tap, so for a while after it is closed.
class TlsInventory : public tls::HandshakeSink {
 public:
  // The directory is borrowed and outlives the inventory.
  explicit TlsInventory(const TapDirectory& directory, const TlsInventoryLimits& limits = {})
      : directory_(directory), limits_(limits) {}

  void OnHandshake(const capture::TapId& tap, bool pod_is_client,
                   tls::Handshake handshake) override;
  // All entries, those of a pod's interfaces together, ordered by the pod's name.
  std::vector<TlsUse> List();

  // Calls visit(CounterValue) for every counter.
  template <typename Visitor>
  void Visit(Visitor&& visit) const {
    const std::lock_guard lock(mutex_);
    visit(CounterValue{.name = "tls_uses", .count = size_});
    visit(CounterValue{.name = "tls_uses_refused", .count = refused_});
  }

 private:
  using Uses = std::map<std::pair<Reporter, tls::Handshake>, uint64_t>;

  // Drops the entries of taps that the directory has forgotten.
  void Prune();

  const TapDirectory& directory_;
  const TlsInventoryLimits limits_;
  mutable std::mutex mutex_;
  absl::flat_hash_map<capture::TapId, Uses> uses_;
  // Entries in all.
  size_t size_ = 0;
  // Connections.
  uint64_t refused_ = 0;
  // Of the directory, when Prune() looked.
  uint64_t pruned_version_ = 0;
};

}  // namespace podtap::enrichment
