// Keeps the list of wanted taps up to date: looks when the kernel reports a change or the source
// has other pods, and every few seconds in case a report was lost. An interface that the kernel
// tells of is passed on at once, whatever is known of its pod.
//
// Threading: one thread of its own, on which the handlers are called. Nothing is held open between
// two looks but the sockets that report changes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "agent/discovery/look_schedule.h"
#include "agent/discovery/pod_source.h"
#include "agent/discovery/rtnl.h"
#include "agent/discovery/selection.h"
#include "agent/discovery/tap_plan.h"
#include "common/clock.h"
#include "common/ip_address.h"
#include "common/unique_fd.h"

namespace podtap::discovery {

// A pod that can't be tapped, or is not to be.
struct UntappedPod {
  enum class Reason : uint8_t {
    // It lives in the host's own network namespace.
    kHostNetwork,
    // No interface of the host leads to it that sees all of its traffic.
    kNoInterface,
    // The source can't say where its network namespace is.
    kNoNamespace,
    // The selection leaves it out, wherever it lives.
    kExcluded,
  };
  PodIdentity identity;
  Reason reason = Reason::kNoInterface;
  // With kExcluded: why; see PodSelection::ReasonToExclude().
  std::string exclusion;
};

// What one look found.
struct View {
  // Of all interfaces that may be pods'.
  std::vector<WantedTap> taps;
  // The pods that have a network namespace of their own.
  std::vector<PodNamespace> pods;
  // An interface that nothing was told of before this look has been there since this moment at the
  // longest (monotonic). Absent where that can't be said: in the first look, and when reports of
  // the kernel were lost.
  std::optional<int64_t> since_ns;
  // The source knows all pods there are. Else its pods are those that it knew last.
  bool source_answered = true;
  // Times that reports of the kernel were lost.
  uint64_t reports_lost = 0;
  // Pods beyond the source's bound.
  uint64_t namespaces_left_out = 0;
  // Pods of which a bound left out a label, an annotation or a container.
  uint64_t pods_cut = 0;
  std::vector<UntappedPod> untapped;
  // Labels of all pods that DescribePod() left out.
  uint64_t labels_left_out = 0;
  // Addresses of the host's own network namespace.
  std::vector<IpAddress> node_addresses;
};

struct WatcherOptions {
  // Pods that it leaves out are told of as such.
  PodSelection selection;
  // Of the kernel's reports that may wait; see LinkEvents::Open().
  int receive_bytes = 1 << 20;
};

class Watcher {
 public:
  struct Handlers {
    // After each look, whether or not something changed; the first time at once.
    std::function<void(const View&)> on_view;
    // An interface that may be a pod's has appeared or changed, or is told of again. It has been as
    // it is since `since_ns` (monotonic) at the longest, and may be gone by now.
    std::function<void(const Link&, int64_t since_ns)> on_link = [](const Link&, int64_t) {};
    // Owners that were found for interfaces which on_link told of, ahead of the next look.
    std::function<void(const std::vector<WantedTap>&)> on_owners = [](const auto&) {};
    // No namespace has this id any more, or another one: what was known by it is void.
    std::function<void(int32_t id)> on_namespace_gone = [](int32_t) {};
  };

  // Opens the sockets and starts the thread. A change in `netns_directory` is a reason to look.
  static absl::StatusOr<std::unique_ptr<Watcher>> Start(std::unique_ptr<PodSource> source,
                                                        const std::string& netns_directory,
                                                        Handlers handlers,
                                                        WatcherOptions options = {});
  // Stops the thread and waits for it.
  ~Watcher();

 private:
  Watcher(std::unique_ptr<PodSource> source, std::string netns_directory, Handlers handlers,
          PodSelection selection, Rtnl rtnl, LinkEvents events);
  absl::Status OpenWatches();
  // Watches the directory, once it exists.
  void WatchDirectory();
  void Run();
  // Until the next look is due or something happens. False when it is to stop.
  bool Wait();
  // Takes what the kernel has told, which it began to at `since_ns` at the earliest.
  void DrainEvents(int64_t since_ns);
  void NoteLink(const Link& link, int64_t since_ns);
  bool IsOwned(const Link& link) const;
  void OnChange();
  void LookAndReport();
  // Takes the source's pods, and describes them when they are others than before.
  absl::Status TakeList();
  // Remembers which interfaces have an owner; those are not asked about.
  void NoteOwners(const std::vector<WantedTap>& taps);
  // Asks for the owners of interfaces that have just appeared among the pods that had no interface
  // in the newest look. A pod may be gone by the next one.
  void FindOwners();
  absl::Status Look();

  const std::unique_ptr<PodSource> source_;
  const std::string netns_directory_;
  const Handlers handlers_;
  const PodSelection selection_;
  const SystemClock clock_;
  Rtnl rtnl_;
  LinkEvents events_;
  UniqueFd inotify_;
  UniqueFd stop_;
  UniqueFd epoll_;
  bool watching_directory_ = false;
  // Interfaces of the newest look may belong to pods that the source will tell of.
  bool has_unmatched_ = false;
  LookSchedule schedule_;
  // When all that the kernel had told was taken.
  int64_t drained_ns_ = 0;
  // As the source gave it, when it could be asked.
  PodList listed_;
  // The same pods, described.
  std::vector<SharedPod> pods_;
  // Theirs, when they were asked for last.
  std::vector<PodNamespace> namespaces_;
  // Of these pods, for lack of room.
  uint64_t labels_left_out_ = 0;
  // Ids of pods that had an interface in the newest look.
  absl::flat_hash_set<std::string> placed_;
  // Interfaces that have an owner, as they were when it was found, by index. A report of one that
  // has not changed is no reason to ask for owners.
  struct OwnedLink {
    std::string name;
    int32_t namespace_id = -1;
  };
  absl::flat_hash_map<uint32_t, OwnedLink> owned_links_;
  // Interfaces without an owner that were told of since the newest look began.
  std::vector<Link> fresh_links_;
  bool has_looked_ = false;
  uint64_t overruns_seen_ = 0;
  // Said once, until a look succeeds again.
  bool failure_logged_ = false;
  std::thread thread_;
};

}  // namespace podtap::discovery
