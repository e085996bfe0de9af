// Opens and closes taps so that they are those that discovery wants.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <set>

#include "agent/capture/connection_map.h"
#include "agent/capture/tap_set.h"
#include "agent/discovery/watcher.h"
#include "agent/enrichment/tap_directory.h"
#include "common/clock.h"
#include "common/counter.h"

namespace podtap {

// OnView() belongs to discovery's thread; counters can be visited from any.
class TapManager {
 public:
  // All are borrowed and outlive the manager.
  TapManager(capture::TapSet& taps, enrichment::TapDirectory& directory,
             const capture::CaptureProgram& program, const Clock& clock)
      : taps_(taps), directory_(directory), connections_(program), clock_(clock) {}

  void OnView(const discovery::View& view);

  // Discovery has looked at least once. From any thread.
  bool has_looked() const { return has_looked_; }

  template <typename Visitor>
  void Visit(Visitor visit) const {
    visit(CounterValue{.name = "taps_opened", .count = opened_});
    visit(CounterValue{.name = "taps_closed", .count = closed_});
    visit(CounterValue{.name = "taps_failed", .count = failed_});
    visit(CounterValue{.name = "namespaces_left_out", .count = namespaces_left_out_});
    visit(CounterValue{.name = "pods_cut", .count = pods_cut_});
    visit(CounterValue{.name = "pods_host_network", .count = pods_host_network_});
    visit(CounterValue{.name = "pods_without_interface", .count = pods_without_interface_});
    visit(CounterValue{.name = "labels_left_out", .count = labels_left_out_});
    visit(CounterValue{.name = "connections_swept", .count = swept_});
  }

 private:
  struct OpenTap {
    discovery::WantedTap wanted;
    capture::TapId id;
    int64_t opened_ns = 0;
  };

  void CloseUnwanted(const std::map<uint32_t, const discovery::WantedTap*>& wanted);
  void Open(const discovery::WantedTap& wanted);
  // Makes known whose the tap is, or what is known of its pod since.
  void Publish(const OpenTap& tap);
  void Sweep();

  capture::TapSet& taps_;
  enrichment::TapDirectory& directory_;
  const capture::ConnectionMap connections_;
  const Clock& clock_;

  // By interface index.
  std::map<uint32_t, OpenTap> open_;
  // Interfaces whose failure has been logged.
  std::set<uint32_t> reported_;
  bool idle_logged_ = false;
  int64_t last_sweep_ns_ = 0;

  std::atomic<bool> has_looked_{false};
  std::atomic<uint64_t> opened_{0};
  std::atomic<uint64_t> closed_{0};
  std::atomic<uint64_t> failed_{0};
  // As of the newest view.
  std::atomic<uint64_t> namespaces_left_out_{0};
  std::atomic<uint64_t> pods_cut_{0};
  std::atomic<uint64_t> pods_host_network_{0};
  std::atomic<uint64_t> pods_without_interface_{0};
  std::atomic<uint64_t> labels_left_out_{0};
  std::atomic<uint64_t> swept_{0};
};

}  // namespace podtap
