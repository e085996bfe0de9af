// Gathers from discovery, capture and the shards how much is seen of each pod.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>

#include "absl/container/flat_hash_map.h"
#include "agent/capture/tap_set.h"
#include "agent/coverage.h"
#include "agent/enrichment/tap_directory.h"
#include "agent/tap_activity.h"
#include "agent/tap_manager.h"
#include "common/clock.h"
#include "podtap/v1/ingest_service.pb.h"

namespace podtap {

// Thread-safe. Pods of one name, namespace and UID are one pod, whatever its interfaces.
class CoverageReport {
 public:
  static constexpr size_t kMaxPods = 1024;
  // Interfaces that are listed of a pod; its figures are of all.
  static constexpr int kMaxInterfaces = 32;

  // All are borrowed and outlive the report.
  CoverageReport(const enrichment::TapDirectory& directory, const TapActivity& activity,
                 const TapManager& manager, const Clock& clock)
      : directory_(directory), activity_(activity), manager_(manager), clock_(clock) {}

  // Adds the pods to the status, by namespace and name, and a line to its ledger for those that
  // found no room. The counters have just been read.
  void AddTo(v1::AgentStatus& status, const capture::AllCounters& counters);
  // From here on AddTo() adds what is true now: taps are about to be closed because the agent
  // stops.
  void Freeze(const capture::AllCounters& counters);

 private:
  // By namespace, name, UID.
  using PodKey = std::tuple<std::string, std::string, std::string>;
  struct PodEntry;
  using PodEntries = std::map<PodKey, PodEntry>;
  using LastPackets = absl::flat_hash_map<capture::TapId, LastPacket>;

  void Gather(v1::AgentStatus& status, const capture::AllCounters& counters);
  static PodEntry& EntryOf(PodEntries& pods, const discovery::PodIdentity& identity);
  void AddUntapped(PodEntries& pods) const;
  void AddTap(PodEntry& pod, const enrichment::TapInfo& tap, const capture::TapCounters& counters,
              LastPackets& last_packets) const;
  v1::TappedInterface Describe(const enrichment::TapInfo& tap) const;
  google::protobuf::Timestamp ToTimestamp(int64_t monotonic_ns) const;

  const enrichment::TapDirectory& directory_;
  const TapActivity& activity_;
  const TapManager& manager_;
  const Clock& clock_;

  std::mutex mutex_;
  // Of the taps that were open at the newest report.
  LastPackets last_packets_;
  std::optional<v1::AgentStatus> frozen_;
};

}  // namespace podtap
