#include "agent/enrichment/address_book.h"

#include <algorithm>

namespace podtap::enrichment {
namespace {

bool SamePod(const std::shared_ptr<const discovery::PodIdentity>& a,
             const std::shared_ptr<const discovery::PodIdentity>& b) {
  return a == b || (a != nullptr && b != nullptr && IsSamePod(*a, *b));
}

}  // namespace

bool AddressBook::Learn(const capture::TapId& tap, const IpAddress& local) {
  if (local.is_loopback()) {
    return true;
  }
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(local);
  if (found != entries_.end()) {
    const std::vector<capture::TapId>& claims = found->second.claims;
    if (std::find(claims.begin(), claims.end(), tap) != claims.end()) {
      return true;
    }
  }
  const TapTable::Entry* entry_of_tap = taps_.Find(tap);
  if (entry_of_tap == nullptr) {
    ++claims_unknown_tap_;
    return false;
  }
  if (IsLoopback(*entry_of_tap->tap)) {
    return true;
  }
  const auto of_tap = addresses_of_tap_.find(tap);
  // The tap's own bound first: a claim that is refused takes nobody's place.
  if ((of_tap != addresses_of_tap_.end() && of_tap->second >= limits_.max_addresses_per_tap) ||
      (found == entries_.end() ? entries_.size() >= limits_.max_addresses
                               : !MakeRoom(found->second.claims))) {
    ++claims_refused_;
    return false;
  }
  ++addresses_of_tap_[tap];
  Entry& entry = found == entries_.end() ? entries_[local] : found->second;
  entry.claims.push_back(tap);
  entry.version = 0;
  return true;
}

bool AddressBook::MakeRoom(std::vector<capture::TapId>& claims) {
  if (claims.size() < limits_.max_claims_per_address) {
    return true;
  }
  const auto closed = std::find_if(claims.begin(), claims.end(), [&](const capture::TapId& claim) {
    const TapTable::Entry* tap = taps_.Find(claim);
    return tap == nullptr || tap->retired;
  });
  if (closed == claims.end()) {
    return false;
  }
  claims.erase(closed);
  return true;
}

AddressOwner AddressBook::Find(const IpAddress& ip, int64_t at_ns) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(ip);
  if (found == entries_.end()) {
    return {};
  }
  Entry& entry = found->second;
  if (const uint64_t version = taps_.Refresh(); entry.version != version) {
    entry.unanimous =
        Judge(entry.claims, [](const TapTable::Entry&) { return true; }).value_or(AddressOwner());
    entry.version = version;
  }
  // A pod that is gone has had the address no longer than its tap was open: the next pod may use it
  // before a claim of its own is known.
  if (entry.unanimous.state == MetadataState::kResolved) {
    return entry.unanimous;
  }
  std::optional<AddressOwner> owner = Judge(entry.claims, [&](const TapTable::Entry& tap) {
    return tap.tap->opened_ns <= at_ns && (!tap.retired || at_ns < tap.retired_ns);
  });
  if (!owner) {
    owner = Judge(entry.claims, [](const TapTable::Entry& tap) { return !tap.retired; });
  }
  AddressOwner result = owner.value_or(AddressOwner());
  result.is_awaited = result.pod == nullptr && IsAwaited(entry.claims);
  return result;
}

bool AddressBook::IsAwaited(const std::vector<capture::TapId>& claims) {
  return std::any_of(claims.begin(), claims.end(), [&](const capture::TapId& claim) {
    const TapTable::Entry* tap = taps_.Find(claim);
    return tap != nullptr && IsAwaitingPod(*tap);
  });
}

template <typename Predicate>
std::optional<AddressOwner> AddressBook::Judge(const std::vector<capture::TapId>& claims,
                                               Predicate counts) {
  std::optional<AddressOwner> owner;
  for (const capture::TapId& claim : claims) {
    const TapTable::Entry* tap = taps_.Find(claim);
    if (tap == nullptr || !counts(*tap)) {
      continue;
    }
    if (owner && !SamePod(owner->pod, tap->tap->pod)) {
      return AddressOwner();
    }
    const bool stale = tap->retired && (!owner || owner->state == MetadataState::kStale);
    owner = AddressOwner{tap->tap->pod, stale ? MetadataState::kStale : MetadataState::kResolved};
  }
  if (owner && owner->pod == nullptr) {
    return AddressOwner();
  }
  return owner;
}

void AddressBook::OnTick() {
  const std::lock_guard lock(mutex_);
  const uint64_t version = taps_.Refresh();
  if (version == swept_version_) {
    return;
  }
  swept_version_ = version;
  const auto gone = [&](const capture::TapId& tap) { return taps_.Find(tap) == nullptr; };
  absl::erase_if(entries_, [&](auto& item) {
    std::erase_if(item.second.claims, gone);
    return item.second.claims.empty();
  });
  absl::erase_if(addresses_of_tap_, [&](const auto& item) { return gone(item.first); });
}

}  // namespace podtap::enrichment
