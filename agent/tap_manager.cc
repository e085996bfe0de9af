#include "agent/tap_manager.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>

#include "absl/strings/str_format.h"
#include "common/log.h"
#include "common/status.h"

namespace podtap {
namespace {

constexpr int64_t kSweepIntervalNs = int64_t{60} * 1'000'000'000;
// Longer than the pipeline's own idle time-out, so that only what it never heard of is swept.
constexpr int64_t kSweepIdleNs = int64_t{900} * 1'000'000'000;
// Between two attempts to tap inside a pod whose host taps are one-sided, after one that failed.
constexpr int64_t kHandOverPauseNs = int64_t{60} * 1'000'000'000;

bool IsSameOwner(const discovery::PodNamespace& a, const discovery::PodNamespace& b) {
  return a.pod->id == b.pod->id && a.device == b.device && a.inode == b.inode;
}

bool IsExcluded(const discovery::WantedTap& wanted) {
  return wanted.owner && !wanted.owner->pod->excluded_because.empty();
}

}  // namespace

void TapManager::OnView(const discovery::View& view) {
  directory_.SetNodeAddresses(view.node_addresses);
  reports_lost_ = view.reports_lost;
  namespaces_left_out_ = view.namespaces_left_out;
  pods_cut_ = view.pods_cut;
  labels_left_out_ = view.labels_left_out;
  WantedTaps all;
  for (const discovery::WantedTap& tap : view.taps) {
    all.emplace(tap.interface_index, &tap);
  }
  WatchSides(all);
  UpdateInside(view);
  const WantedTaps wanted = HostTaps(all);
  CloseUnwanted(wanted);
  for (const auto& [index, tap] : wanted) {
    if (IsExcluded(*tap)) {
      LeaveOut(*tap);
      continue;
    }
    auto found = open_.find(index);
    if (found == open_.end() && (tap->owner || !IsLetGo(*tap))) {
      found = Open(*tap, view.since_ns);
    }
    if (found != open_.end()) {
      Update(found->second, *tap);
    }
  }
  if (view.source_answered) {
    if (!source_answers_) {
      answers_since_ns_ = clock_.MonotonicNs();
    }
    CloseUnclaimed();
  }
  UpdateLoopback(view);
  source_answers_ = view.source_answered;
  has_looked_ = true;
  const bool idle = std::none_of(open_.begin(), open_.end(),
                                 [](const auto& item) { return item.second.owner.has_value(); }) &&
                    (!pod_taps_ || pod_taps_->counts().pods == 0);
  if (idle && !idle_logged_) {
    PODTAP_LOG_INFO("no pod interface found yet; waiting for one");
  }
  idle_logged_ = idle;
  std::erase_if(failures_, [&](const auto& item) { return !all.contains(item.first); });
  std::erase_if(let_go_, [&](const auto& item) { return !all.contains(item.first); });
  NoteWithoutTap(view);
  one_sided_ =
      static_cast<uint64_t>(std::count_if(open_.begin(), open_.end(), [](const auto& item) {
        return item.second.info.sides != enrichment::Sides::kBoth;
      }));
  directory_.Expire(clock_.MonotonicNs());
  Sweep();
}

void TapManager::NoteWithoutTap(const discovery::View& view) {
  auto without_tap = std::make_shared<PodsWithoutTap>();
  without_tap->untapped = view.untapped;
  for (const discovery::WantedTap& tap : view.taps) {
    const auto open = open_.find(tap.interface_index);
    if (!tap.owner || IsExcluded(tap) || (open != open_.end() && open->second.owner)) {
      continue;
    }
    const discovery::PodIdentity& pod = tap.owner->pod->identity;
    const auto failure = failures_.find(tap.interface_index);
    if (open != open_.end()) {
      without_tap->failed.push_back({pod, tap.interface_name, "it did not prove to be the pod's"});
    } else if (failure != failures_.end()) {
      without_tap->failed.push_back({pod, tap.interface_name, failure->second});
    } else {
      // It went between the look and now.
      without_tap->untapped.push_back({pod, discovery::UntappedPod::Reason::kNoInterface});
    }
  }
  if (pod_taps_) {
    std::vector<FailedTap> inside = pod_taps_->failures();
    std::move(inside.begin(), inside.end(), std::back_inserter(without_tap->failed));
  }
  using Reason = discovery::UntappedPod::Reason;
  uint64_t host_network = 0;
  uint64_t excluded = 0;
  for (const discovery::UntappedPod& pod : view.untapped) {
    host_network += pod.reason == Reason::kHostNetwork ? 1 : 0;
    excluded += pod.reason == Reason::kExcluded ? 1 : 0;
  }
  pods_host_network_ = host_network;
  pods_excluded_ = excluded;
  pods_without_interface_ = view.untapped.size() - host_network - excluded;
  const std::lock_guard lock(mutex_);
  without_tap_ = std::move(without_tap);
}

void TapManager::OnLink(const discovery::Link& link, int64_t since_ns) {
  const discovery::WantedTap wanted{.interface_index = link.index,
                                    .interface_name = link.name,
                                    .namespace_id = link.peer_namespace_id.value_or(-1)};
  if (const auto found = open_.find(link.index); found != open_.end()) {
    if (taps_.IsBound(found->second.info.id)) {
      return;
    }
    // The index has been given to another interface.
    Close(found);
  }
  if (!IsLetGo(wanted) && pod_netns_ != PodNetnsMode::kAlways) {
    Open(wanted, since_ns);
  }
}

void TapManager::OnOwners(const std::vector<discovery::WantedTap>& taps) {
  for (const discovery::WantedTap& tap : taps) {
    const auto found = open_.find(tap.interface_index);
    if (found == open_.end() || found->second.owner || !IsWanted(found->second, tap)) {
      continue;
    }
    if (IsExcluded(tap)) {
      LeaveOut(tap);
    } else {
      Update(found->second, tap);
    }
  }
}

void TapManager::OnNamespaceGone(int32_t namespace_id) {
  std::erase_if(let_go_,
                [&](const auto& item) { return item.second.namespace_id == namespace_id; });
  for (auto it = open_.begin(); it != open_.end();) {
    // A tap that is proved goes with its interface.
    const bool is_void = it->second.namespace_id == namespace_id && !it->second.owner;
    it = is_void ? Close(it) : std::next(it);
  }
}

void TapManager::WatchSides(const WantedTaps& all) {
  const int64_t now_ns = clock_.MonotonicNs();
  for (auto& [index, tap] : open_) {
    const auto seen = all.find(index);
    if (tap.owner && seen != all.end() && tap.sides.IsDue(seen->second->packets, now_ns)) {
      // Only a tap that is open is asked for its counters.
      const absl::StatusOr<capture::TapCounters> counters = taps_.Counters(tap.info.id);
      PODTAP_CHECK(counters.ok());
      using capture::Direction;
      NoteSides(tap, tap.sides.Observe({.from_pod = TcpPacketsOf(*counters, Direction::kFromPod),
                                        .to_pod = TcpPacketsOf(*counters, Direction::kToPod),
                                        .crossed = seen->second->packets},
                                       now_ns));
    }
  }
}

void TapManager::NoteSides(OpenTap& tap, enrichment::Sides sides) {
  if (sides == tap.info.sides) {
    return;
  }
  tap.info.sides = sides;
  Publish(tap);
  const std::string& pod = tap.owner->pod->identity.pod_name;
  if (sides == enrichment::Sides::kBoth) {
    PODTAP_LOG_INFO("{} shows both directions of pod {} again", tap.info.interface_name, pod);
    return;
  }
  PODTAP_LOG_WARN("{} shows only what pod {} {}: the rest is delivered past it{}",
                  tap.info.interface_name, pod,
                  sides == enrichment::Sides::kFromPodOnly ? "sends" : "receives",
                  pod_taps_ ? "" : "; --pod-netns fallback taps such pods inside");
}

void TapManager::UpdateInside(const discovery::View& view) {
  if (!pod_taps_) {
    return;
  }
  const int64_t now_ns = clock_.MonotonicNs();
  std::set<std::string_view> listed;
  for (const discovery::PodNamespace& pod : view.pods) {
    listed.insert(pod.pod->id);
  }
  std::erase_if(handed_over_, [&](const std::string& id) { return !listed.contains(id); });
  std::erase_if(hand_over_after_ns_,
                [&](const auto& item) { return !listed.contains(item.first); });
  std::set<std::string> fresh;
  for (const auto& [index, tap] : open_) {
    if (tap.info.sides != enrichment::Sides::kBoth && tap.owner &&
        listed.contains(tap.owner->pod->id) && hand_over_after_ns_[tap.owner->pod->id] <= now_ns) {
      fresh.insert(tap.owner->pod->id);
    }
  }
  handed_over_.insert(fresh.begin(), fresh.end());
  CloseForInside();
  pod_taps_->Update(InsideWishes(view));
  for (auto it = handed_over_.begin(); it != handed_over_.end();) {
    if (pod_taps_->IsTapped(*it)) {
      handed_over_count_ += fresh.contains(*it) ? 1 : 0;
      ++it;
      continue;
    }
    // The host's tap sees more than none.
    hand_over_after_ns_[*it] = now_ns + kHandOverPauseNs;
    it = handed_over_.erase(it);
  }
}

std::vector<InsideWish> TapManager::InsideWishes(const discovery::View& view) const {
  std::vector<InsideWish> wishes;
  std::set<std::string_view> placed;
  for (const discovery::WantedTap& tap : view.taps) {
    if (tap.owner) {
      placed.insert(tap.owner->pod->id);
    }
  }
  for (const discovery::PodNamespace& pod : view.pods) {
    const std::string& id = pod.pod->id;
    if (!pod.pod->excluded_because.empty()) {
      continue;
    }
    const bool is_always = pod_netns_ == PodNetnsMode::kAlways;
    const bool is_handed_over = handed_over_.contains(id);
    // A pod that got an interface of the host later keeps the taps it has.
    if (is_always || is_handed_over || !placed.contains(id) || pod_taps_->IsTapped(id)) {
      wishes.push_back(
          {.pod = pod, .pairs_too = is_always || is_handed_over, .was_seen = is_handed_over});
    }
  }
  return wishes;
}

void TapManager::UpdateLoopback(const discovery::View& view) {
  if (!loopback_taps_) {
    return;
  }
  std::vector<InsideWish> wishes;
  for (const discovery::PodNamespace& pod : view.pods) {
    if (pod.pod->excluded_because.empty()) {
      wishes.push_back({.pod = pod});
    }
  }
  loopback_taps_->Update(wishes);
}

void TapManager::CloseForInside() {
  bool is_closing = false;
  for (auto it = open_.begin(); it != open_.end();) {
    const bool is_inside = it->second.owner && handed_over_.contains(it->second.owner->pod->id);
    is_closing |= is_inside;
    it = is_inside ? Close(it) : std::next(it);
  }
  if (is_closing) {
    taps_.WaitUntilClosed();
  }
}

TapManager::WantedTaps TapManager::HostTaps(const WantedTaps& all) {
  if (pod_netns_ == PodNetnsMode::kAlways) {
    return {};
  }
  WantedTaps wanted;
  for (const auto& [index, tap] : all) {
    if (tap->owner && handed_over_.contains(tap->owner->pod->id)) {
      // Not to be tapped either when the kernel tells of it again.
      LetGoOf(*tap);
    } else {
      wanted.emplace(index, tap);
    }
  }
  return wanted;
}

bool TapManager::IsWanted(const OpenTap& tap, const discovery::WantedTap& wanted) const {
  return tap.namespace_id == wanted.namespace_id && taps_.IsBound(tap.info.id) &&
         (!tap.owner || (wanted.owner && IsSameOwner(*tap.owner, *wanted.owner)));
}

void TapManager::CloseUnwanted(const WantedTaps& wanted) {
  for (auto it = open_.begin(); it != open_.end();) {
    const auto match = wanted.find(it->first);
    if (match != wanted.end() && IsWanted(it->second, *match->second)) {
      ++it;
      continue;
    }
    // It was a pod's until now: nobody else is going to claim it.
    if (match != wanted.end() && it->second.owner && !match->second->owner) {
      LetGoOf(*match->second);
    }
    it = Close(it);
  }
}

void TapManager::CloseUnclaimed() {
  const int64_t opened_before_ns = clock_.MonotonicNs() - limits_.unclaimed_ns;
  for (auto it = open_.begin(); it != open_.end();) {
    const OpenTap& tap = it->second;
    if (tap.owner || std::max(tap.info.opened_ns, answers_since_ns_) > opened_before_ns) {
      ++it;
      continue;
    }
    ++unclaimed_;
    PODTAP_LOG_INFO("let go of {}: no pod is known behind it", tap.info.interface_name);
    LetGoOf({.interface_index = it->first,
             .interface_name = tap.info.interface_name,
             .namespace_id = tap.namespace_id});
    it = Close(it);
  }
}

TapManager::OpenTaps::iterator TapManager::Close(OpenTaps::iterator tap) {
  const auto& [index, closing] = *tap;
  if (closing.owner) {
    PODTAP_LOG_INFO("closed tap of {} for pod {}", closing.info.interface_name,
                    closing.owner->pod->identity.pod_name);
  } else {
    PODTAP_LOG_DEBUG("closed tap of {}", closing.info.interface_name);
  }
  directory_.Retire(closing.info.id, clock_.MonotonicNs());
  taps_.Close(closing.info.id);
  ++closed_;
  return open_.erase(tap);
}

TapManager::OpenTaps::iterator TapManager::Open(const discovery::WantedTap& wanted,
                                                std::optional<int64_t> since_ns) {
  const auto waiting = std::count_if(open_.begin(), open_.end(),
                                     [](const auto& item) { return !item.second.owner; });
  if (!wanted.owner && static_cast<size_t>(waiting) >= limits_.max_unclaimed) {
    ++unclaimed_;
    LetGoOf(wanted);
    return open_.end();
  }
  const absl::StatusOr<capture::TapId> id = taps_.Reserve();
  if (!id.ok()) {
    ReportFailure(wanted, id.status());
    return open_.end();
  }
  OpenTap tap{.info = {.id = *id,
                       .interface_index = wanted.interface_index,
                       .interface_name = wanted.interface_name,
                       .mode = enrichment::CaptureMode::kHostVeth,
                       .opened_ns = clock_.MonotonicNs()},
              .namespace_id = wanted.namespace_id};
  // Known before its first packet can arrive.
  activity_.Begin(*id);
  Publish(tap);
  const absl::Status status = taps_.Open(*id, wanted.interface_index, capture::Polarity::kHostSide);
  if (!status.ok()) {
    directory_.Retire(*id, clock_.MonotonicNs());
    ReportFailure(wanted, status);
    return open_.end();
  }
  ++opened_;
  let_go_.erase(wanted.interface_index);
  NoteAttach(tap, since_ns);
  failures_.erase(wanted.interface_index);
  Publish(tap);
  PODTAP_LOG_DEBUG("opened tap of {}", wanted.interface_name);
  return open_.insert_or_assign(wanted.interface_index, std::move(tap)).first;
}

void TapManager::ReportFailure(const discovery::WantedTap& wanted, const absl::Status& status) {
  // Gone again before we came: usual while a pod is being deleted.
  if (absl::IsNotFound(status)) {
    return;
  }
  ++failed_;
  const bool is_new = !failures_.contains(wanted.interface_index);
  failures_[wanted.interface_index] = std::string(status.message());
  if (is_new) {
    PODTAP_LOG_WARN("can't tap {}: {}", wanted.interface_name, std::string(status.message()));
  }
}

void TapManager::NoteAttach(OpenTap& tap, std::optional<int64_t> since_ns) {
  // After a failure the delay would be that of another attempt.
  if (since_ns && !failures_.contains(tap.info.interface_index)) {
    tap.info.attach_delay_ns = std::max<int64_t>(clock_.MonotonicNs() - *since_ns, 0);
    attach_delay_.Observe(*tap.info.attach_delay_ns);
  }
  const absl::StatusOr<std::optional<discovery::Link>> link =
      rtnl_.FindLink(tap.info.interface_index);
  if (link.ok() && link->has_value() && (*link)->packets > 0) {
    tap.info.packets_before = (*link)->packets;
    ++late_;
    packets_before_ += (*link)->packets;
  }
}

void TapManager::Update(OpenTap& tap, const discovery::WantedTap& wanted) {
  bool changed = tap.info.interface_name != wanted.interface_name;
  tap.info.interface_name = wanted.interface_name;
  const bool had_owner = tap.owner.has_value();
  if (!had_owner && wanted.owner) {
    // The interface of this index leads to the pod, and was there all along if the tap is bound
    // yet.
    if (discovery::LeadsTo(wanted.interface_index, *wanted.owner, rtnl_) &&
        taps_.IsBound(tap.info.id)) {
      tap.owner = wanted.owner;
      PODTAP_LOG_INFO("tapping {} for pod {}{}", wanted.interface_name,
                      wanted.owner->pod->identity.pod_name,
                      tap.info.packets_before > 0
                          ? absl::StrFormat("; %d packets went by before", tap.info.packets_before)
                          : "");
    } else {
      ++refuted_;
    }
  } else if (had_owner) {
    tap.owner = wanted.owner;
  }
  // More may be known of the pod than before, such as a container.
  if (tap.owner) {
    changed |= Renew(tap.info.pod, tap.owner->pod);
  }
  if (changed) {
    Publish(tap);
  }
}

void TapManager::LeaveOut(const discovery::WantedTap& wanted) {
  const auto found = open_.find(wanted.interface_index);
  if (found == open_.end() && IsLetGo(wanted)) {
    return;
  }
  const bool had_owner = found != open_.end() && found->second.owner;
  if (!had_owner && (!discovery::LeadsTo(wanted.interface_index, *wanted.owner, rtnl_) ||
                     (found != open_.end() && !taps_.IsBound(found->second.info.id)))) {
    // The next look knows more.
    ++refuted_;
    return;
  }
  PODTAP_LOG_INFO("not tapping {} of pod {}: {}", wanted.interface_name,
                  wanted.owner->pod->identity.pod_name, wanted.owner->pod->excluded_because);
  LetGoOf(wanted);
  if (found != open_.end()) {
    ++taps_excluded_;
    found->second.info.is_excluded = true;
    Publish(found->second);
    Close(found);
  }
}

void TapManager::Publish(const OpenTap& tap) {
  directory_.Publish(std::make_shared<const enrichment::TapInfo>(tap.info));
}

bool TapManager::IsLetGo(const discovery::WantedTap& wanted) const {
  const auto found = let_go_.find(wanted.interface_index);
  return found != let_go_.end() && found->second.interface_name == wanted.interface_name &&
         found->second.namespace_id == wanted.namespace_id;
}

void TapManager::LetGoOf(const discovery::WantedTap& tap) {
  let_go_[tap.interface_index] = {.interface_name = tap.interface_name,
                                  .namespace_id = tap.namespace_id};
}

void TapManager::Sweep() {
  const int64_t now_ns = clock_.MonotonicNs();
  if (now_ns - last_sweep_ns_ >= kSweepIntervalNs) {
    last_sweep_ns_ = now_ns;
    swept_ += connections_.Sweep(now_ns - kSweepIdleNs);
  }
}

}  // namespace podtap
