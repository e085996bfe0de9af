#include "agent/discovery/watcher.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>

#include <algorithm>
#include <utility>

#include "agent/discovery/pod_description.h"
#include "common/log.h"
#include "common/status.h"

namespace podtap::discovery {
namespace {

constexpr int kSlowLookMs = 5'000;
// A namespace's file appears before the namespace is mounted on it, which no watch reports.
constexpr int kSettleLookMs = 50;
constexpr int kSettleLooks = 10;
// So many when there are interfaces that lead to pods the source has yet to hear of: a runtime
// lists a pod when it is ready, which is after its interface was made.
constexpr int kMatchLooks = 40;

// There is an interface that may be a pod's and is not.
bool HasUnmatched(const std::vector<Link>& links, const std::vector<WantedTap>& taps) {
  return std::any_of(links.begin(), links.end(), [&](const Link& link) {
    return MayBePods(link) && std::none_of(taps.begin(), taps.end(), [&](const WantedTap& tap) {
             return tap.interface_index == link.index;
           });
  });
}

// Counts the pods that have no tap, by reason.
void CountUntapped(const std::vector<Pod>& pods, View& view) {
  for (const Pod& pod : pods) {
    const auto is_pods = [&](const WantedTap& tap) { return tap.pod_id == pod.id; };
    if (pod.host_network) {
      ++view.pods_host_network;
    } else if (std::none_of(view.taps.begin(), view.taps.end(), is_pods)) {
      ++view.pods_without_interface;
    }
  }
}

}  // namespace

Watcher::Watcher(std::unique_ptr<PodSource> source, std::string netns_directory, Handler handler,
                 Rtnl rtnl, LinkEvents events)
    : source_(std::move(source)),
      netns_directory_(std::move(netns_directory)),
      handler_(std::move(handler)),
      rtnl_(std::move(rtnl)),
      events_(std::move(events)) {}

absl::StatusOr<std::unique_ptr<Watcher>> Watcher::Start(std::unique_ptr<PodSource> source,
                                                        const std::string& netns_directory,
                                                        Handler handler) {
  PODTAP_ASSIGN_OR_RETURN(Rtnl rtnl, Rtnl::Open());
  PODTAP_ASSIGN_OR_RETURN(LinkEvents events, LinkEvents::Open());
  std::unique_ptr<Watcher> watcher(new Watcher(
      std::move(source), netns_directory, std::move(handler), std::move(rtnl), std::move(events)));
  PODTAP_RETURN_IF_ERROR(watcher->OpenWatches());
  watcher->thread_ = std::thread([raw = watcher.get()] { raw->Run(); });
  return watcher;
}

Watcher::~Watcher() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = ::write(stop_.get(), &one, sizeof(one));
    thread_.join();
  }
}

absl::Status Watcher::OpenWatches() {
  inotify_ = UniqueFd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  stop_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  if (!inotify_.valid() || !stop_.valid() || !epoll_.valid()) {
    return ErrnoStatus(errno, "watch network namespaces");
  }
  for (const int fd : {inotify_.get(), stop_.get(), events_.fd(), source_->changed_fd()}) {
    if (fd < 0) {
      continue;
    }
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
      return ErrnoStatus(errno, "watch network namespaces");
    }
  }
  return absl::OkStatus();
}

void Watcher::WatchDirectory() {
  if (!watching_directory_) {
    watching_directory_ = ::inotify_add_watch(inotify_.get(), netns_directory_.c_str(),
                                              IN_CREATE | IN_DELETE | IN_MOVED_TO | IN_MOVED_FROM |
                                                  IN_DELETE_SELF) >= 0;
  }
}

void Watcher::Run() {
  int looks_since_change = kMatchLooks;
  while (true) {
    WatchDirectory();
    const absl::Status status = Look();
    if (!status.ok() && !failure_logged_) {
      PODTAP_LOG_WARN("discovery: {}", std::string(status.message()));
    }
    failure_logged_ = !status.ok();
    bool changed = false;
    while (!changed) {
      epoll_event event;
      const bool soon = looks_since_change < (has_unmatched_ ? kMatchLooks : kSettleLooks);
      const int count = ::epoll_wait(epoll_.get(), &event, 1, soon ? kSettleLookMs : kSlowLookMs);
      if (count == 0) {
        ++looks_since_change;
        source_->Refresh();
        break;
      }
      if (count < 0) {
        continue;
      }
      if (event.data.fd == stop_.get()) {
        return;
      }
      if (event.data.fd == events_.fd()) {
        changed = events_.Drain();
      } else if (event.data.fd == source_->changed_fd()) {
        break;
      } else {
        char buffer[4096];
        while (::read(inotify_.get(), buffer, sizeof(buffer)) > 0) {
          changed = true;
        }
        // The directory itself may have gone; adding the watch again is harmless.
        watching_directory_ = false;
      }
      if (changed) {
        looks_since_change = 0;
        source_->Refresh();
      }
    }
  }
}

absl::Status Watcher::Look() {
  View view;
  // First: whatever else fails, the source has been heard.
  PODTAP_ASSIGN_OR_RETURN(PodList list, source_->List());
  for (Pod& pod : list.pods) {
    view.labels_left_out += DescribePod(pod.identity);
  }
  PODTAP_ASSIGN_OR_RETURN(const std::vector<Link> links, rtnl_.Links());
  PODTAP_ASSIGN_OR_RETURN(view.node_addresses, rtnl_.Addresses());
  view.taps = PlanTaps(links, FindNamespaces(list.pods, rtnl_));
  CountUntapped(list.pods, view);
  // Only a source that tells of changes hears of pods late.
  has_unmatched_ = source_->changed_fd() >= 0 && HasUnmatched(links, view.taps);
  view.namespaces_left_out = list.left_out;
  view.pods_cut = list.cut;
  handler_(view);
  return absl::OkStatus();
}

}  // namespace podtap::discovery
