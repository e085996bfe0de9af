// Keeps the list of wanted taps up to date: looks when the kernel reports a change or the source
// has other pods, and every few seconds in case a report was lost.
//
// Threading: one thread of its own, on which the handler is called. Nothing is held open between
// two looks but the sockets that report changes.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/discovery/pod_source.h"
#include "agent/discovery/rtnl.h"
#include "agent/discovery/tap_plan.h"
#include "common/ip_address.h"
#include "common/unique_fd.h"

namespace podtap::discovery {

// What one look found.
struct View {
  std::vector<WantedTap> taps;
  // Pods beyond the source's bound.
  uint64_t namespaces_left_out = 0;
  // Pods of which a bound left out a label, an annotation or a container.
  uint64_t pods_cut = 0;
  // Pods that can't be tapped: they use the host's network, or no interface of the host leads to
  // them that sees all of their traffic.
  uint64_t pods_host_network = 0;
  uint64_t pods_without_interface = 0;
  // Labels of all pods that DescribePod() left out.
  uint64_t labels_left_out = 0;
  // Addresses of the host's own network namespace.
  std::vector<IpAddress> node_addresses;
};

class Watcher {
 public:
  using Handler = std::function<void(const View&)>;

  // Opens the sockets and starts the thread. The handler is called after each look, whether or not
  // something changed; the first time at once. A change in `netns_directory` is a reason to look.
  static absl::StatusOr<std::unique_ptr<Watcher>> Start(std::unique_ptr<PodSource> source,
                                                        const std::string& netns_directory,
                                                        Handler handler);
  // Stops the thread and waits for it.
  ~Watcher();

 private:
  Watcher(std::unique_ptr<PodSource> source, std::string netns_directory, Handler handler,
          Rtnl rtnl, LinkEvents events);
  absl::Status OpenWatches();
  // Watches the directory, once it exists.
  void WatchDirectory();
  void Run();
  absl::Status Look();

  const std::unique_ptr<PodSource> source_;
  const std::string netns_directory_;
  const Handler handler_;
  Rtnl rtnl_;
  LinkEvents events_;
  UniqueFd inotify_;
  UniqueFd stop_;
  UniqueFd epoll_;
  bool watching_directory_ = false;
  // Interfaces of the newest look may belong to pods that the source will tell of.
  bool has_unmatched_ = false;
  // Said once, until a look succeeds again.
  bool failure_logged_ = false;
  std::thread thread_;
};

}  // namespace podtap::discovery
