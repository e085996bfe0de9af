// Opens and closes taps so that they are those that discovery wants.
//
// An interface is tapped as soon as the kernel tells of it, and its pod joined when a look knows
// it: a pod's first packets come before anybody lists the pod. Whose a tap is, is proved once the
// tap is in place. From then on the socket stays with its interface, so that neither a reused index
// nor a reused namespace id can give it a wrong name.
//
// Pods that can't be seen whole from the host are tapped inside their namespaces, where that is
// allowed: see PodTaps. Then the host's ends of their interfaces are not tapped. The loopback of
// pods is tapped besides, where that is wished.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "agent/capture/connection_map.h"
#include "agent/capture/tap_set.h"
#include "agent/discovery/watcher.h"
#include "agent/enrichment/tap_directory.h"
#include "agent/one_sided.h"
#include "agent/pod_netns.h"
#include "agent/pod_taps.h"
#include "agent/tap_activity.h"
#include "common/clock.h"
#include "common/counter.h"
#include "common/histogram.h"

namespace podtap {

struct TapManagerLimits {
  // How long a tap may wait for a pod.
  int64_t unclaimed_ns = int64_t{30} * 1'000'000'000;
  // Taps that wait for a pod at once: others must not keep the pods' from being opened.
  size_t max_unclaimed = 256;
};

// The pods that are not tapped, as of one look.
struct PodsWithoutTap {
  std::vector<discovery::UntappedPod> untapped;
  std::vector<FailedTap> failed;
};

// On…() belong to discovery's thread; the rest can be asked from any.
class TapManager {
 public:
  // All that is borrowed outlives the manager.
  TapManager(capture::TapSet& taps, enrichment::TapDirectory& directory, TapActivity& activity,
             const capture::CaptureProgram& program, discovery::Rtnl rtnl, const Clock& clock,
             const InsidePolicy& inside = {}, const TapManagerLimits& limits = {})
      : taps_(taps),
        directory_(directory),
        activity_(activity),
        connections_(program),
        rtnl_(std::move(rtnl)),
        clock_(clock),
        pod_netns_(inside.interfaces),
        limits_(limits) {
    if (pod_netns_ != PodNetnsMode::kNever) {
      pod_taps_.emplace(InsideKind::kInterfaces, taps, directory, activity, clock);
    }
    if (inside.loopback) {
      loopback_taps_.emplace(InsideKind::kLoopback, taps, directory, activity, clock);
    }
  }

  // What discovery::Watcher::Handlers are to call.
  void OnView(const discovery::View& view);
  void OnLink(const discovery::Link& link, int64_t since_ns);
  void OnOwners(const std::vector<discovery::WantedTap>& taps);
  void OnNamespaceGone(int32_t namespace_id);

  // Lets go of the taps: whoever owns them may close them from here on. After the last On…().
  void Stop() {
    for (std::optional<PodTaps>* inside : {&pod_taps_, &loopback_taps_}) {
      if (*inside) {
        (*inside)->Stop();
      }
    }
  }

  // Discovery has looked at least once.
  bool has_looked() const { return has_looked_; }
  // As of the newest look; never null.
  std::shared_ptr<const PodsWithoutTap> without_tap() const {
    const std::lock_guard lock(mutex_);
    return without_tap_;
  }
  // Of the taps of interfaces that the agent heard of as they appeared.
  HistogramValues attach_delay() const { return attach_delay_.values(); }

  template <typename Visitor>
  void Visit(Visitor visit) const {
    const PodTaps::Counts inside = CountsOf(pod_taps_);
    const PodTaps::Counts loopback = CountsOf(loopback_taps_);
    const auto sum = [&](uint64_t outside, uint64_t PodTaps::Counts::*count) {
      return outside + inside.*count + loopback.*count;
    };
    using Counts = PodTaps::Counts;
    visit(CounterValue{.name = "taps_opened", .count = sum(opened_, &Counts::opened)});
    visit(CounterValue{.name = "taps_closed", .count = sum(closed_, &Counts::closed)});
    visit(CounterValue{.name = "taps_failed", .count = sum(failed_, &Counts::failed)});
    visit(CounterValue{.name = "taps_late", .count = sum(late_, &Counts::late)});
    visit(CounterValue{.name = "packets_before_taps",
                       .count = sum(packets_before_, &Counts::packets_before)});
    visit(CounterValue{.name = "pods_tapped_inside", .count = inside.pods});
    visit(CounterValue{.name = "pods_tapped_on_loopback", .count = loopback.pods});
    visit(CounterValue{.name = "taps_one_sided", .count = one_sided_});
    visit(CounterValue{.name = "pods_handed_over", .count = handed_over_count_});
    visit(CounterValue{.name = "taps_unclaimed", .count = unclaimed_});
    visit(CounterValue{.name = "owners_refuted", .count = refuted_});
    visit(CounterValue{.name = "link_reports_lost", .count = reports_lost_});
    visit(CounterValue{.name = "namespaces_left_out", .count = namespaces_left_out_});
    visit(CounterValue{.name = "pods_cut", .count = pods_cut_});
    visit(CounterValue{.name = "pods_host_network", .count = pods_host_network_});
    visit(CounterValue{.name = "pods_without_interface", .count = pods_without_interface_});
    visit(CounterValue{.name = "pods_excluded", .count = pods_excluded_});
    visit(CounterValue{.name = "taps_excluded", .count = taps_excluded_});
    visit(CounterValue{.name = "labels_left_out", .count = labels_left_out_});
    visit(CounterValue{.name = "connections_swept", .count = swept_});
  }

 private:
  struct OpenTap {
    enrichment::TapInfo info;
    // At the interface's other end, when the tap was opened.
    int32_t namespace_id = -1;
    // Proved; absent while no pod is known.
    std::optional<discovery::PodNamespace> owner;
    OneSidedWatch sides;
  };
  using OpenTaps = std::map<uint32_t, OpenTap>;
  // An interface as it was when its tap was let go of.
  struct LetGo {
    std::string interface_name;
    int32_t namespace_id = -1;
  };

  // By interface index.
  using WantedTaps = std::map<uint32_t, const discovery::WantedTap*>;

  static PodTaps::Counts CountsOf(const std::optional<PodTaps>& inside) {
    return inside ? inside->counts() : PodTaps::Counts();
  }
  // Looks at what each tap of a pod has seen, and says which see one direction only. `all` are the
  // interfaces as the look found them.
  void WatchSides(const WantedTaps& all);
  void NoteSides(OpenTap& tap, enrichment::Sides sides);
  // Taps pods inside their namespaces that are to be tapped there.
  void UpdateInside(const discovery::View& view);
  std::vector<InsideWish> InsideWishes(const discovery::View& view) const;
  // Taps the loopback of all pods that are watched, where it is to be.
  void UpdateLoopback(const discovery::View& view);
  // Closes the host taps of pods that are tapped inside in their place, and waits for that: no
  // packet is seen by both.
  void CloseForInside();
  // The taps that the host is to have besides. Lets go of those that it is not to have.
  WantedTaps HostTaps(const WantedTaps& all);
  // Whether the tap is still what is wanted of its interface.
  bool IsWanted(const OpenTap& tap, const discovery::WantedTap& wanted) const;
  void CloseUnwanted(const WantedTaps& wanted);
  // Lets go of taps that have waited for a pod for too long.
  void CloseUnclaimed();
  OpenTaps::iterator Close(OpenTaps::iterator tap);
  // Opens a tap whose pod is yet to be proved; end() when it can't. `since_ns` as of Watcher.
  OpenTaps::iterator Open(const discovery::WantedTap& wanted, std::optional<int64_t> since_ns);
  void ReportFailure(const discovery::WantedTap& wanted, const absl::Status& status);
  // Notes which pods are not tapped.
  void NoteWithoutTap(const discovery::View& view);
  // Notes how late the tap came.
  void NoteAttach(OpenTap& tap, std::optional<int64_t> since_ns);
  // Takes what is known of the interface and its pod over, once it is proved to be the pod's.
  void Update(OpenTap& tap, const discovery::WantedTap& wanted);
  // Of an interface whose pod is known and not watched: closes the tap, if there is one, once the
  // owner is proved. What the tap has seen and is yet to be passed on is not.
  void LeaveOut(const discovery::WantedTap& wanted);
  void Publish(const OpenTap& tap);
  // Whether the interface was let go of, and is as it was then.
  bool IsLetGo(const discovery::WantedTap& wanted) const;
  void LetGoOf(const discovery::WantedTap& tap);
  void Sweep();

  capture::TapSet& taps_;
  enrichment::TapDirectory& directory_;
  TapActivity& activity_;
  const capture::ConnectionMap connections_;
  discovery::Rtnl rtnl_;
  const Clock& clock_;
  const PodNetnsMode pod_netns_;
  const TapManagerLimits limits_;
  // Absent when none of pods' interfaces may be tapped inside.
  std::optional<PodTaps> pod_taps_;
  // The same of loopback.
  std::optional<PodTaps> loopback_taps_;
  // Ids of pods that are tapped inside because their host taps are one-sided.
  std::set<std::string> handed_over_;
  // When to try that again with pods for which it failed.
  std::map<std::string, int64_t> hand_over_after_ns_;

  // By interface index, all three.
  OpenTaps open_;
  std::map<uint32_t, LetGo> let_go_;
  // Failures that have been logged, in words.
  std::map<uint32_t, std::string> failures_;
  // When the source began to answer, after it had not.
  bool source_answers_ = false;
  int64_t answers_since_ns_ = 0;
  bool idle_logged_ = false;
  int64_t last_sweep_ns_ = 0;

  mutable std::mutex mutex_;
  std::shared_ptr<const PodsWithoutTap> without_tap_ = std::make_shared<const PodsWithoutTap>();

  WorkHistogram attach_delay_;
  std::atomic<bool> has_looked_{false};
  std::atomic<uint64_t> opened_{0};
  std::atomic<uint64_t> closed_{0};
  std::atomic<uint64_t> failed_{0};
  std::atomic<uint64_t> late_{0};
  std::atomic<uint64_t> packets_before_{0};
  std::atomic<uint64_t> unclaimed_{0};
  std::atomic<uint64_t> refuted_{0};
  std::atomic<uint64_t> taps_excluded_{0};
  // As of the newest view.
  std::atomic<uint64_t> reports_lost_{0};
  std::atomic<uint64_t> namespaces_left_out_{0};
  std::atomic<uint64_t> pods_cut_{0};
  std::atomic<uint64_t> pods_host_network_{0};
  std::atomic<uint64_t> pods_without_interface_{0};
  std::atomic<uint64_t> pods_excluded_{0};
  std::atomic<uint64_t> labels_left_out_{0};
  std::atomic<uint64_t> swept_{0};
  // Taps, now; pods, in all.
  std::atomic<uint64_t> one_sided_{0};
  std::atomic<uint64_t> handed_over_count_{0};
};

}  // namespace podtap
