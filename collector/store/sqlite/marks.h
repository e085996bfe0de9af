// What the store remembers of each agent's log: high-water marks and loss counters.
//
// Both live in every file, copied from the one before, so that the newest file alone is enough to
// go on from. Only the writer's thread changes them.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "collector/store/sqlite/overlay_map.h"

namespace podtap::store::sqlite {

// One start of one agent.
struct EpochKey {
  std::string node_name;
  uint64_t epoch = 0;

  friend bool operator==(const EpochKey&, const EpochKey&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const EpochKey& key) {
    return H::combine(std::move(state), key.node_name, key.epoch);
  }
};

// One loss counter of one start of one agent.
struct LossKey {
  EpochKey epoch;
  int stage = 0;
  std::string name;

  friend bool operator==(const LossKey&, const LossKey&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const LossKey& key) {
    return H::combine(std::move(state), key.epoch, key.stage, key.name);
  }
};

// A cumulative number and when it last changed (wall clock).
struct Mark {
  uint64_t value = 0;
  int64_t updated_ns = 0;
};

using HighWaterMap = OverlayMap<EpochKey, Mark>;
using LossCounterMap = OverlayMap<LossKey, Mark>;

struct Marks {
  HighWaterMap high_water;
  LossCounterMap loss_counters;

  void Commit() {
    high_water.Commit();
    loss_counters.Commit();
  }
  void Discard() {
    high_water.Discard();
    loss_counters.Discard();
  }
};

// Bounds of the two maps. At the bound the mark that changed longest ago makes room.
constexpr size_t kMaxHighWaterMarks = 100'000;
constexpr size_t kMaxLossCounters = 200'000;
// A mark that has not changed for so long is not copied into a new file: an agent that still had
// events of that epoch would have sent them.
constexpr int64_t kMarkLifetimeNs = int64_t{7} * 24 * 3600 * 1'000'000'000;

}  // namespace podtap::store::sqlite
