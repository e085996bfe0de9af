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

// There is an interface that may be a pod's and is not.
bool HasUnmatched(const std::vector<WantedTap>& taps) {
  return std::any_of(taps.begin(), taps.end(),
                     [](const WantedTap& tap) { return !tap.owner.has_value(); });
}

// Puts interfaces that were told of later in the place of what is known of them, or beside it: what
// is tapped by now is part of the view.
void TakeOver(const std::vector<Link>& later, std::vector<Link>& links) {
  for (const Link& link : later) {
    const auto same = std::find_if(links.begin(), links.end(),
                                   [&](const Link& known) { return known.index == link.index; });
    if (same == links.end()) {
      links.push_back(link);
    } else {
      *same = link;
    }
  }
}

std::vector<UntappedPod> Untapped(const std::vector<SharedPod>& pods,
                                  const absl::flat_hash_set<std::string>& placed) {
  using Reason = UntappedPod::Reason;
  std::vector<UntappedPod> untapped;
  for (const SharedPod& pod : pods) {
    if (!pod->excluded_because.empty()) {
      untapped.push_back({pod->identity, Reason::kExcluded, pod->excluded_because});
    } else if (pod->host_network) {
      untapped.push_back({pod->identity, Reason::kHostNetwork});
    } else if (pod->namespace_path.empty()) {
      untapped.push_back({pod->identity, Reason::kNoNamespace});
    } else if (!placed.contains(pod->id)) {
      untapped.push_back({pod->identity, Reason::kNoInterface});
    }
  }
  return untapped;
}

}  // namespace

Watcher::Watcher(std::unique_ptr<PodSource> source, std::string netns_directory, Handlers handlers,
                 PodSelection selection, Rtnl rtnl, LinkEvents events)
    : source_(std::move(source)),
      netns_directory_(std::move(netns_directory)),
      handlers_(std::move(handlers)),
      selection_(std::move(selection)),
      rtnl_(std::move(rtnl)),
      events_(std::move(events)) {}

absl::StatusOr<std::unique_ptr<Watcher>> Watcher::Start(std::unique_ptr<PodSource> source,
                                                        const std::string& netns_directory,
                                                        Handlers handlers, WatcherOptions options) {
  PODTAP_ASSIGN_OR_RETURN(Rtnl rtnl, Rtnl::Open());
  PODTAP_ASSIGN_OR_RETURN(LinkEvents events, LinkEvents::Open(options.receive_bytes));
  std::unique_ptr<Watcher> watcher(new Watcher(std::move(source), netns_directory,
                                               std::move(handlers), std::move(options.selection),
                                               std::move(rtnl), std::move(events)));
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
    // The source's stays readable until the next look, which may have to wait a little.
    const uint32_t events = fd == source_->changed_fd() ? EPOLLIN | EPOLLET : EPOLLIN;
    epoll_event event{.events = events, .data = {.fd = fd}};
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
  drained_ns_ = clock_.MonotonicNs();
  do {
    if (clock_.MonotonicNs() >= schedule_.due_ns()) {
      LookAndReport();
    }
  } while (Wait());
}

bool Watcher::Wait() {
  constexpr int64_t kNsPerMs = 1'000'000;
  epoll_event ready[8];
  int64_t since_ns = drained_ns_;
  int count = ::epoll_wait(epoll_.get(), ready, std::size(ready), 0);
  if (count == 0) {
    // What comes from here on is heard as it happens.
    const int64_t left_ns = schedule_.due_ns() - clock_.MonotonicNs();
    const auto left_ms =
        static_cast<int>((std::max<int64_t>(left_ns, 0) + kNsPerMs - 1) / kNsPerMs);
    count = ::epoll_wait(epoll_.get(), ready, std::size(ready), left_ms);
    since_ns = clock_.MonotonicNs();
    drained_ns_ = since_ns;
  }
  if (count == 0) {
    source_->Refresh();
  }
  for (int i = 0; i < count; ++i) {
    const int fd = ready[i].data.fd;
    if (fd == stop_.get()) {
      return false;
    }
    if (fd == events_.fd()) {
      DrainEvents(since_ns);
      FindOwners();
    } else if (fd == inotify_.get()) {
      char buffer[4096];
      while (::read(inotify_.get(), buffer, sizeof(buffer)) > 0) {
      }
      // The directory itself may have gone; adding the watch again is harmless.
      watching_directory_ = false;
      OnChange();
    } else {
      schedule_.OnChange(clock_.MonotonicNs());
    }
  }
  return true;
}

void Watcher::OnChange() {
  schedule_.OnChange(clock_.MonotonicNs());
  source_->Refresh();
}

void Watcher::DrainEvents(int64_t since_ns) {
  const bool changed =
      events_.Drain({.on_link = [&](const Link& link) { NoteLink(link, since_ns); },
                     .on_namespace_gone =
                         [&](int32_t id) {
                           absl::erase_if(owned_links_, [&](const auto& item) {
                             return item.second.namespace_id == id;
                           });
                           handlers_.on_namespace_gone(id);
                         }});
  drained_ns_ = clock_.MonotonicNs();
  if (changed) {
    OnChange();
  }
}

void Watcher::NoteLink(const Link& link, int64_t since_ns) {
  if (!MayBePods(link)) {
    return;
  }
  handlers_.on_link(link, since_ns);
  std::erase_if(fresh_links_, [&](const Link& other) { return other.index == link.index; });
  if (!IsOwned(link)) {
    fresh_links_.push_back(link);
  }
}

bool Watcher::IsOwned(const Link& link) const {
  const auto owned = owned_links_.find(link.index);
  return owned != owned_links_.end() && owned->second.name == link.name &&
         owned->second.namespace_id == link.peer_namespace_id;
}

absl::Status Watcher::TakeList() {
  absl::StatusOr<PodList> list = source_->List();
  if (!list.ok()) {
    return list.status();
  }
  if (*list == listed_) {
    return absl::OkStatus();
  }
  listed_ = *std::move(list);
  labels_left_out_ = 0;
  std::vector<Pod> pods = listed_.pods;
  for (Pod& pod : pods) {
    pod.excluded_because = selection_.ReasonToExclude(pod.identity);
    labels_left_out_ += DescribePod(pod.identity);
  }
  pods_ = Share(std::move(pods));
  schedule_.OnPods();
  return absl::OkStatus();
}

void Watcher::NoteOwners(const std::vector<WantedTap>& taps) {
  for (const WantedTap& tap : taps) {
    if (tap.owner) {
      owned_links_[tap.interface_index] = {.name = tap.interface_name,
                                           .namespace_id = tap.namespace_id};
    }
  }
  std::erase_if(fresh_links_, [this](const Link& link) { return IsOwned(link); });
}

void Watcher::FindOwners() {
  if (fresh_links_.empty()) {
    return;
  }
  // A source that fails has its pods of before, and is complained of by the next look.
  TakeList().IgnoreError();
  std::vector<SharedPod> candidates;
  for (const SharedPod& pod : pods_) {
    if (!placed_.contains(pod->id)) {
      candidates.push_back(pod);
    }
  }
  const std::vector<WantedTap> taps = PlanTaps(fresh_links_, FindNamespaces(candidates, rtnl_));
  // Those without an owner are asked for again as long as there is no look.
  NoteOwners(taps);
  handlers_.on_owners(taps);
}

void Watcher::LookAndReport() {
  const int64_t begin_ns = clock_.MonotonicNs();
  WatchDirectory();
  const absl::Status status = Look();
  if (!status.ok() && !failure_logged_) {
    PODTAP_LOG_WARN("discovery: {}", std::string(status.message()));
  }
  failure_logged_ = !status.ok();
  schedule_.OnLook(begin_ns, clock_.MonotonicNs(), has_unmatched_);
  // Of what appeared during the look.
  FindOwners();
}

absl::Status Watcher::Look() {
  View view;
  // Before the list: what it says next may be said of a newer one.
  const bool is_current = source_->is_current();
  // First: whatever else fails, the source has been heard.
  absl::Status listed = TakeList();
  view.source_answered = listed.ok() && is_current;
  view.labels_left_out = labels_left_out_;
  // What is told by now is no news of the look.
  DrainEvents(drained_ns_);
  if (has_looked_ && events_.overruns() == overruns_seen_) {
    view.since_ns = drained_ns_;
  }
  view.reports_lost = overruns_seen_ = events_.overruns();
  fresh_links_.clear();
  PODTAP_ASSIGN_OR_RETURN(std::vector<Link> links, rtnl_.Links());
  PODTAP_ASSIGN_OR_RETURN(view.node_addresses, rtnl_.Addresses());
  if (const int64_t now_ns = clock_.MonotonicNs(); schedule_.needs_namespaces(now_ns)) {
    schedule_.OnNamespaces(now_ns);
    // An interface that appears meanwhile does not wait to be tapped.
    namespaces_ = FindNamespaces(pods_, rtnl_, [this] { DrainEvents(drained_ns_); });
  }
  view.pods = namespaces_;
  TakeOver(fresh_links_, links);
  view.taps = PlanTaps(links, view.pods);
  placed_.clear();
  for (const WantedTap& tap : view.taps) {
    if (tap.owner) {
      placed_.insert(tap.owner->pod->id);
    }
  }
  owned_links_.clear();
  NoteOwners(view.taps);
  view.untapped = Untapped(pods_, placed_);
  // Only a source that tells of changes hears of pods late.
  has_unmatched_ = source_->changed_fd() >= 0 && HasUnmatched(view.taps);
  view.namespaces_left_out = listed_.left_out;
  view.pods_cut = listed_.cut;
  has_looked_ = true;
  handlers_.on_view(view);
  return listed;
}

}  // namespace podtap::discovery
