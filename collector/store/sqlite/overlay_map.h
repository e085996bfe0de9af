// A map whose changes can be taken back: the memory side of a database transaction.
#pragma once

#include <cstddef>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace podtap::store::sqlite {

// Set() changes an overlay; Commit() makes it permanent, Discard() forgets it. Not thread-safe.
template <typename Key, typename Value>
class OverlayMap {
 public:
  using Map = absl::flat_hash_map<Key, Value>;

  // The value, changed or committed; nullptr when there is none. Valid until the next change.
  const Value* Find(const Key& key) const {
    if (const auto it = overlay_.find(key); it != overlay_.end()) {
      return &it->second;
    }
    const auto it = committed_.find(key);
    return it == committed_.end() ? nullptr : &it->second;
  }
  void Set(Key key, Value value) { overlay_.insert_or_assign(std::move(key), std::move(value)); }

  void Commit() {
    for (auto& [key, value] : overlay_) {
      committed_.insert_or_assign(key, std::move(value));
    }
    overlay_.clear();
  }
  void Discard() { overlay_.clear(); }

  // Counts a key twice that is changed and committed: an upper bound.
  size_t size_bound() const { return committed_.size() + overlay_.size(); }
  const Map& overlay() const { return overlay_; }
  const Map& committed() const { return committed_; }
  // For pruning between transactions.
  Map& mutable_committed() { return committed_; }

 private:
  Map committed_;
  Map overlay_;
};

}  // namespace podtap::store::sqlite
