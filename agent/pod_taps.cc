#include "agent/pod_taps.h"

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_format.h"
#include "agent/discovery/rtnl.h"
#include "agent/discovery/tap_plan.h"
#include "common/log.h"
#include "common/status.h"
#include "common/unique_fd.h"

namespace podtap {
namespace {

// Between two looks whether the tapped pods are there: a namespace is to be freed within a second
// of its deletion.
constexpr std::chrono::milliseconds kCheckEvery{300};
// A pod is entered again after these pauses, which double: its interfaces may be yet to come.
constexpr int64_t kFirstPauseNs = 50'000'000;
constexpr int64_t kLongestPauseNs = int64_t{30} * 1'000'000'000;
// A pod may make as many interfaces as it likes.
constexpr size_t kMaxTapsPerPod = 8;

bool IsSameNamespace(const discovery::PodNamespace& a, const discovery::PodNamespace& b) {
  return a.device == b.device && a.inode == b.inode;
}

}  // namespace

PodTaps::PodTaps(InsideKind kind, capture::TapSet& taps, enrichment::TapDirectory& directory,
                 TapActivity& activity, const Clock& clock)
    : kind_(kind),
      taps_(taps),
      directory_(directory),
      activity_(activity),
      clock_(clock),
      thread_([this] { Run(); }) {}

PodTaps::~PodTaps() { Stop(); }

void PodTaps::Stop() {
  if (!thread_.joinable()) {
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void PodTaps::Update(const std::vector<InsideWish>& wishes) {
  const std::lock_guard lock(mutex_);
  std::set<std::string> wished;
  for (const InsideWish& wish : wishes) {
    wished.insert(wish.pod.pod->id);
    InsidePod& pod = EntryOf(wish.pod);
    pod.pairs_too = wish.pairs_too;
    pod.was_seen = wish.was_seen;
    PublishPod(pod);
    if (IsDue(pod)) {
      Visit(pod);
    }
  }
  for (auto it = pods_.begin(); it != pods_.end();) {
    if (wished.contains(it->first)) {
      ++it;
      continue;
    }
    CloseAll(it->second);
    it = pods_.erase(it);
  }
  wake_.notify_one();
}

bool PodTaps::IsTapped(const std::string& pod_id) const {
  const std::lock_guard lock(mutex_);
  const auto found = pods_.find(pod_id);
  return found != pods_.end() && !found->second.taps.empty();
}

std::vector<FailedTap> PodTaps::failures() const {
  const std::lock_guard lock(mutex_);
  std::vector<FailedTap> failures;
  for (const auto& [id, pod] : pods_) {
    if (!pod.failure.empty() && pod.taps.empty()) {
      failures.push_back(
          {.pod = pod.owner.pod->identity, .interface_name = "", .error = pod.failure});
    }
  }
  return failures;
}

PodTaps::Counts PodTaps::counts() const {
  const std::lock_guard lock(mutex_);
  Counts counts = counts_;
  counts.pods = CountTappedPods();
  return counts;
}

uint64_t PodTaps::CountTappedPods() const {
  return static_cast<uint64_t>(std::count_if(
      pods_.begin(), pods_.end(), [](const auto& item) { return !item.second.taps.empty(); }));
}

PodTaps::InsidePod& PodTaps::EntryOf(const discovery::PodNamespace& pod) {
  InsidePod& entry = pods_[pod.pod->id];
  if (!IsSameNamespace(entry.owner, pod)) {
    CloseAll(entry);
    entry = {};
  }
  entry.owner = pod;
  return entry;
}

bool PodTaps::IsDue(InsidePod& pod) {
  const int64_t now_ns = clock_.MonotonicNs();
  // A namespace has one loopback.
  const bool has_all = kind_ == InsideKind::kLoopback && !pod.taps.empty();
  if (has_all || now_ns < pod.next_visit_ns) {
    return false;
  }
  pod.pause_ns = std::clamp(pod.pause_ns * 2, kFirstPauseNs, kLongestPauseNs);
  pod.next_visit_ns = now_ns + pod.pause_ns;
  return true;
}

void PodTaps::Visit(InsidePod& pod) {
  pod.failure.clear();
  absl::Status listed;
  const absl::Status entered = discovery::RunInside(pod.owner, [&] {
    absl::StatusOr<discovery::Rtnl> rtnl = discovery::Rtnl::Open();
    if (!rtnl.ok()) {
      listed = rtnl.status();
      return;
    }
    const absl::StatusOr<std::vector<discovery::Link>> links = LinksToTap(pod, *rtnl);
    if (!links.ok()) {
      listed = links.status();
      return;
    }
    for (const discovery::Link& link : *links) {
      if (!pod.taps.contains(link.index)) {
        Open(pod, link, *rtnl);
      }
    }
  });
  if (!entered.ok() || !listed.ok()) {
    NoteFailure(pod, entered.ok() ? listed : entered);
  }
}

absl::StatusOr<std::vector<discovery::Link>> PodTaps::LinksToTap(const InsidePod& pod,
                                                                 discovery::Rtnl& rtnl) const {
  PODTAP_ASSIGN_OR_RETURN(const std::vector<discovery::Link> links, rtnl.Links());
  if (kind_ == InsideKind::kLoopback) {
    return discovery::LoopbackLinks(links);
  }
  std::optional<int32_t> host_id;
  if (pod.pairs_too) {
    // That of the first thread, which never leaves the host's.
    const UniqueFd host(::open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
    if (!host.valid()) {
      return ErrnoStatus(errno, "open the host's namespace");
    }
    PODTAP_ASSIGN_OR_RETURN(host_id, rtnl.NamespaceId(host.get()));
  }
  return discovery::PodSideLinks(links, host_id);
}

absl::Status PodTaps::CheckRoom(const InsidePod& pod) const {
  if (pod.taps.size() >= kMaxTapsPerPod) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("it has more than %d interfaces to tap", kMaxTapsPerPod));
  }
  if (kind_ == InsideKind::kLoopback && CountTappedPods() >= kMaxLoopbackTaps) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("the loopback of %d pods is tapped already", kMaxLoopbackTaps));
  }
  return absl::OkStatus();
}

void PodTaps::Open(InsidePod& pod, const discovery::Link& link, discovery::Rtnl& rtnl) {
  if (const absl::Status room = CheckRoom(pod); !room.ok()) {
    NoteFailure(pod, room);
    return;
  }
  const bool is_loopback = kind_ == InsideKind::kLoopback;
  const absl::StatusOr<capture::TapId> id = taps_.Reserve();
  if (!id.ok()) {
    NoteFailure(pod, id.status());
    return;
  }
  enrichment::TapInfo tap{.id = *id,
                          .interface_index = link.index,
                          .interface_name = link.name,
                          .mode = is_loopback ? enrichment::CaptureMode::kPodLoopback
                                              : enrichment::CaptureMode::kPodNetns,
                          .opened_ns = clock_.MonotonicNs(),
                          .pod = IdentityOf(pod.owner.pod)};
  // Known before its first packet can arrive.
  activity_.Begin(*id);
  directory_.Publish(std::make_shared<const enrichment::TapInfo>(tap));
  const absl::Status status = taps_.Open(
      *id, link.index, is_loopback ? capture::Polarity::kLoopback : capture::Polarity::kPodSide);
  if (!status.ok()) {
    directory_.Retire(*id, clock_.MonotonicNs());
    NoteFailure(pod, status);
    return;
  }
  ++counts_.opened;
  const absl::StatusOr<std::optional<discovery::Link>> now = rtnl.FindLink(link.index);
  if (!pod.was_seen && now.ok() && now->has_value() && (*now)->packets > 0) {
    tap.packets_before = (*now)->packets;
    ++counts_.late;
    counts_.packets_before += tap.packets_before;
    directory_.Publish(std::make_shared<const enrichment::TapInfo>(tap));
  }
  PODTAP_LOG_INFO("tapping {} inside pod {}", link.name, pod.owner.pod->identity.pod_name);
  pod.taps.emplace(link.index, std::move(tap));
}

void PodTaps::PublishPod(InsidePod& pod) {
  for (auto& [index, tap] : pod.taps) {
    if (Renew(tap.pod, pod.owner.pod)) {
      directory_.Publish(std::make_shared<const enrichment::TapInfo>(tap));
    }
  }
}

void PodTaps::NoteFailure(InsidePod& pod, const absl::Status& status) {
  // Gone again before we came: usual while a pod is being deleted.
  if (absl::IsNotFound(status)) {
    return;
  }
  ++counts_.failed;
  pod.failure = std::string(status.message());
  if (!std::exchange(pod.failure_logged, true)) {
    PODTAP_LOG_WARN("can't tap inside pod {}: {}", pod.owner.pod->identity.pod_name, pod.failure);
  }
}

void PodTaps::Close(InsidePod& pod, const enrichment::TapInfo& tap) {
  PODTAP_LOG_INFO("closed tap of {} inside pod {}", tap.interface_name,
                  pod.owner.pod->identity.pod_name);
  directory_.Retire(tap.id, clock_.MonotonicNs());
  taps_.Close(tap.id);
  ++counts_.closed;
}

void PodTaps::CloseAll(InsidePod& pod) {
  for (const auto& [index, tap] : std::exchange(pod.taps, {})) {
    Close(pod, tap);
  }
}

void PodTaps::Check(InsidePod& pod) {
  if (pod.taps.empty()) {
    return;
  }
  if (!discovery::IsThere(pod.owner)) {
    CloseAll(pod);
    // It may be listed again under another path: by another of its processes.
    VisitNext(pod);
    return;
  }
  for (auto it = pod.taps.begin(); it != pod.taps.end();) {
    if (taps_.IsBound(it->second.id)) {
      ++it;
      continue;
    }
    Close(pod, it->second);
    it = pod.taps.erase(it);
    // Its interface may be another by now.
    VisitNext(pod);
  }
}

void PodTaps::VisitNext(InsidePod& pod) {
  pod.next_visit_ns = 0;
  pod.pause_ns = 0;
}

void PodTaps::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (pods_.empty()) {
      wake_.wait(lock, [&] { return stopping_ || !pods_.empty(); });
    } else {
      wake_.wait_for(lock, kCheckEvery, [&] { return stopping_; });
    }
    for (auto& [id, pod] : pods_) {
      Check(pod);
    }
  }
}

}  // namespace podtap
