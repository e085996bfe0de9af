// Which pod an address belongs to, as the wire proves it: an address that leaves a pod's tap as a
// source is that pod's. An address that two different pods claim at one time names neither; pods
// that had it one after the other are told apart by when their taps were open.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "agent/capture/segment.h"
#include "agent/enrichment/event.h"
#include "agent/enrichment/tap_directory.h"
#include "common/counter.h"

namespace podtap::enrichment {

// Bounds of the book; hits are counted as claims_refused.
struct AddressBookLimits {
  size_t max_addresses = 65'536;
  // A pod that forges source addresses must not fill the book.
  size_t max_addresses_per_tap = 256;
  size_t max_claims_per_address = 4;
};

// What the book says about an address.
struct AddressOwner {
  // Null when the address names nobody.
  std::shared_ptr<const discovery::PodIdentity> pod;
  // kResolved and kStale come with a pod, kUnresolved without.
  MetadataState state = MetadataState::kUnresolved;
  // Without a pod: an open tap claims the address whose own pod is not known yet.
  bool is_awaited = false;
};

// Thread-safe: what one shard learns names the far ends of the others' exchanges. A claim lives as
// long as the directory knows its tap, so for a while after the tap is closed; the owner it names
// is then stale.
class AddressBook {
 public:
  // The directory is borrowed and outlives the book.
  explicit AddressBook(const TapDirectory& directory, const AddressBookLimits& limits = {})
      : limits_(limits), taps_(directory) {}

  // `local` was seen as a source address leaving `tap`. True when that is known from now on, so
  // that it need not be said again; false when a bound or an unknown tap stands against it. Nothing
  // is learnt of loopback addresses, which every pod has, nor from a pod's loopback, where a proxy
  // may use the addresses of others: that is true as well.
  bool Learn(const capture::TapId& tap, const IpAddress& local);
  // Who owned `ip` at `at_ns` (monotonic). Where claims differ and none's tap was open then,
  // the taps that are open now decide. A closed tap names nothing that came after it.
  AddressOwner Find(const IpAddress& ip, int64_t at_ns);
  // Forgets the claims of taps that the directory has forgotten. Call about once a second.
  void OnTick();

  size_t size() const {
    const std::lock_guard lock(mutex_);
    return entries_.size();
  }

  // Calls visit(CounterValue) for every counter. Claims and addresses, not exchanges.
  template <typename Visitor>
  void Visit(Visitor&& visit) const {
    const std::lock_guard lock(mutex_);
    visit(CounterValue{.name = "addresses_known", .count = entries_.size()});
    visit(CounterValue{.name = "address_claims_refused", .count = claims_refused_});
    visit(CounterValue{.name = "address_claims_of_unknown_taps", .count = claims_unknown_tap_});
  }

 private:
  struct Entry {
    std::vector<capture::TapId> claims;
    // Whom all claims name, as of this version of the directory; 0 = not worked out yet. Unless it
    // is kResolved, the time decides: claims differ, or all of their taps are closed.
    uint64_t version = 0;
    AddressOwner unanimous;
  };

  // The caller holds the lock in both of these.
  //
  // Whether one more claim fits; the claim of a closed tap gives way.
  bool MakeRoom(std::vector<capture::TapId>& claims);
  // Whether one of the claims is by an open tap whose pod is not known yet.
  bool IsAwaited(const std::vector<capture::TapId>& claims);
  // Whom the claims name together whose taps `counts` accepts; nullopt when it accepts none.
  template <typename Predicate>
  std::optional<AddressOwner> Judge(const std::vector<capture::TapId>& claims, Predicate counts);

  const AddressBookLimits limits_;
  mutable std::mutex mutex_;
  TapReader taps_;
  absl::flat_hash_map<IpAddress, Entry> entries_;
  absl::flat_hash_map<capture::TapId, size_t> addresses_of_tap_;
  uint64_t swept_version_ = 0;
  uint64_t claims_refused_ = 0;
  uint64_t claims_unknown_tap_ = 0;
};

}  // namespace podtap::enrichment
