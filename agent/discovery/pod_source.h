// Where pods come from: the names a node's network namespaces go by.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/discovery/pod.h"

namespace podtap::discovery {

// A pod as a source lists it.
struct Pod {
  // Unique among the source's pods and never given to another one: the id of its sandbox, or the
  // name of its namespace where there is nothing better.
  std::string id;
  PodIdentity identity;
  // A file that stands for the pod's network namespace. It may be gone, or no namespace, by the
  // time it is looked at.
  std::string namespace_path;
};

struct PodList {
  std::vector<Pod> pods;
  // Beyond the source's bound, not listed.
  uint64_t left_out = 0;
};

// Not thread-safe: belongs to the thread that looks.
class PodSource {
 public:
  virtual ~PodSource() = default;
  virtual absl::StatusOr<PodList> List() = 0;
};

}  // namespace podtap::discovery
