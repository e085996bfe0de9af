// Value: who a pod is. What discovery finds and enrichment names endpoints with.
#pragma once

#include <cstdint>
#include <string>

namespace podtap::discovery {

// Identity of a pod. Immutable once published; shared by tap directory snapshots.
struct PodIdentity {
  // The netns source puts every pod into the namespace "netns".
  std::string namespace_name;
  std::string pod_name;

  friend bool operator==(const PodIdentity&, const PodIdentity&) = default;
};

}  // namespace podtap::discovery
