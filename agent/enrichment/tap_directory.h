// Which tap is whose: written where taps are opened and closed, read where exchanges are named.
//
// A closed tap stays for a while as a tombstone, so that exchanges that end late are still named.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "agent/capture/segment.h"
#include "agent/enrichment/event.h"
#include "common/counter.h"

namespace podtap::enrichment {

// Bounds of the directory.
struct TapDirectoryLimits {
  // How long a closed tap is still known.
  int64_t tombstone_ns = int64_t{60} * 1'000'000'000;
  // Closed taps known at once; the oldest goes first. Live taps are bounded by who opens them.
  size_t max_tombstones = 4096;
};

// What is known at one moment.
struct TapTable {
  struct Entry {
    std::shared_ptr<const TapInfo> tap;
    // The tap is closed, and since when (monotonic).
    bool retired = false;
    int64_t retired_ns = 0;
  };
  absl::flat_hash_map<capture::TapId, Entry> taps;
  absl::flat_hash_set<IpAddress> node_addresses;
};

// Whether the tap's pod may yet become known.
inline bool IsAwaitingPod(const TapTable::Entry& entry) {
  return entry.tap->pod == nullptr && !entry.retired;
}

// Thread-safe. Times are monotonic nanoseconds.
class TapDirectory {
 public:
  explicit TapDirectory(const TapDirectoryLimits& limits = {}) : limits_(limits) {}

  // Makes a tap known, or what is known of it since. Call before its first record can arrive.
  void Publish(std::shared_ptr<const TapInfo> tap);
  // The tap is closed; it stays known until Expire() is called after the tombstone time.
  void Retire(const capture::TapId& id, int64_t now_ns);
  // Forgets what has been closed for long enough. Call about once a second.
  void Expire(int64_t now_ns);
  // The addresses of the node's own network namespace; replaces those set before.
  void SetNodeAddresses(const std::vector<IpAddress>& addresses);

  // Null when not known. Takes a lock: on the pipeline's thread use a TapReader.
  std::shared_ptr<const TapInfo> Find(const capture::TapId& id) const;

  // Changes with every change of the table.
  uint64_t version() const { return version_.load(std::memory_order_acquire); }
  // Copies the table and returns the version of the copy.
  uint64_t CopyTo(TapTable& table) const;

  // Calls visit(CounterValue) for every counter.
  template <typename Visitor>
  void Visit(Visitor&& visit) const {
    const std::lock_guard lock(mutex_);
    visit(CounterValue{.name = "tombstones_cut", .count = tombstones_cut_});
  }

 private:
  struct Tombstone {
    capture::TapId id;
    int64_t retired_ns;
  };

  void Changed() { version_.fetch_add(1, std::memory_order_release); }

  const TapDirectoryLimits limits_;
  mutable std::mutex mutex_;
  TapTable table_;
  // In the order of retirement.
  std::deque<Tombstone> tombstones_;
  uint64_t tombstones_cut_ = 0;
  std::atomic<uint64_t> version_{1};
};

// A private copy of the directory that is brought up to date when it has changed: without a change
// a look-up costs one atomic load and no lock. Belongs to one thread.
class TapReader {
 public:
  // The directory is borrowed and outlives the reader.
  explicit TapReader(const TapDirectory& directory) : directory_(directory) {}

  // Null when not known. Valid until the next call of any method.
  const TapTable::Entry* Find(const capture::TapId& id) {
    Refresh();
    const auto found = table_.taps.find(id);
    return found == table_.taps.end() ? nullptr : &found->second;
  }
  bool IsNodeAddress(const IpAddress& ip) {
    Refresh();
    return table_.node_addresses.contains(ip);
  }
  // Of the copy, once it is up to date.
  uint64_t Refresh() {
    if (directory_.version() != version_) {
      version_ = directory_.CopyTo(table_);
    }
    return version_;
  }

 private:
  const TapDirectory& directory_;
  TapTable table_;
  uint64_t version_ = 0;
};

}  // namespace podtap::enrichment
