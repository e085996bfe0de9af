// Taps inside pods' own network namespaces: of the interfaces of pods that can't be seen whole from
// the host, or of pods' loopback.
//
// A tap's socket keeps its namespace and the interfaces in it alive, so a thread of its own looks
// several times a second whether the pod is still there, and closes the tap when it is not. As long
// as the tap is open, the namespace lives and its inode stays its own: who stands behind the pod's
// path with the same inode is the pod.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/capture/tap_set.h"
#include "agent/discovery/link.h"
#include "agent/discovery/pod_namespace.h"
#include "agent/enrichment/tap_directory.h"
#include "agent/tap_activity.h"
#include "common/clock.h"

namespace podtap {

// A pod's tap that could not be opened.
struct FailedTap {
  discovery::PodIdentity pod;
  // Empty when not even the interfaces could be listed.
  std::string interface_name;
  // What the kernel said, or what else stood in the way.
  std::string error;
};

// Which of pods' interfaces are tapped.
enum class InsideKind : uint8_t {
  // Those that carry the pod's own frames; see discovery::PodSideLinks().
  kInterfaces,
  kLoopback,
};

// A pod to be tapped inside.
struct InsideWish {
  discovery::PodNamespace pod;
  // With kInterfaces: also those whose other ends the host has. Else they are left to host taps.
  bool pairs_too = false;
  // The pod has been seen by host taps until now: packets from before are not missed.
  bool was_seen = false;
};

// Update() belongs to discovery's thread; the rest can be asked from any.
class PodTaps {
 public:
  // Taps of loopback are an extra: the other half of all taps is left to interfaces.
  static constexpr size_t kMaxLoopbackTaps = capture::kMaxTaps / 2;

  struct Counts {
    // Taps.
    uint64_t opened = 0;
    uint64_t closed = 0;
    uint64_t failed = 0;
    // Taps of interfaces that packets had crossed, and those packets.
    uint64_t late = 0;
    uint64_t packets_before = 0;
    // Pods that are tapped now.
    uint64_t pods = 0;
  };

  // All that is borrowed outlives the object. Starts the thread.
  PodTaps(InsideKind kind, capture::TapSet& taps, enrichment::TapDirectory& directory,
          TapActivity& activity, const Clock& clock);
  ~PodTaps();
  // Ends the thread. The taps stay open: TapSet closes them. Nothing is to be updated after that.
  void Stop();

  // Opens the taps of these pods, as far as they are not open, and closes those of all others. A
  // pod that can't be entered, or has no interface to tap, is tried again, less and less often.
  void Update(const std::vector<InsideWish>& wishes);
  bool IsTapped(const std::string& pod_id) const;

  Counts counts() const;
  // The pods without a tap for another reason than that they have nothing to tap.
  std::vector<FailedTap> failures() const;

 private:
  struct InsidePod {
    discovery::PodNamespace owner;
    bool pairs_too = false;
    bool was_seen = false;
    // By interface index inside the namespace.
    std::map<uint32_t, enrichment::TapInfo> taps;
    // When to enter it next, and how long to wait after that.
    int64_t next_visit_ns = 0;
    int64_t pause_ns = 0;
    // Why not all taps could be opened at the newest visit.
    std::string failure;
    bool failure_logged = false;
  };
  using Pods = std::map<std::string, InsidePod>;

  // All of these: the caller holds the lock.
  //
  // The pod's entry, as of this namespace.
  InsidePod& EntryOf(const discovery::PodNamespace& pod);
  uint64_t CountTappedPods() const;
  // Whether it is time to enter the pod; if so, that is noted.
  bool IsDue(InsidePod& pod);
  // Enters the pod and opens what is not open.
  void Visit(InsidePod& pod);
  // The rest on a thread inside the namespace.
  //
  // The interfaces to tap.
  absl::StatusOr<std::vector<discovery::Link>> LinksToTap(const InsidePod& pod,
                                                          discovery::Rtnl& rtnl) const;
  // Whether there is room for one more tap of the pod.
  absl::Status CheckRoom(const InsidePod& pod) const;
  void Open(InsidePod& pod, const discovery::Link& link, discovery::Rtnl& rtnl);
  // Makes known what is known of the pod by now.
  void PublishPod(InsidePod& pod);
  void NoteFailure(InsidePod& pod, const absl::Status& status);
  void Close(InsidePod& pod, const enrichment::TapInfo& tap);
  void CloseAll(InsidePod& pod);
  // Closes what is not there any more.
  void Check(InsidePod& pod);
  // The pod is due at the next Update().
  static void VisitNext(InsidePod& pod);

  void Run();

  const InsideKind kind_;
  capture::TapSet& taps_;
  enrichment::TapDirectory& directory_;
  TapActivity& activity_;
  const Clock& clock_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  // By the pods' ids.
  Pods pods_;
  // But for the number of pods.
  Counts counts_;
  std::thread thread_;
};

}  // namespace podtap
