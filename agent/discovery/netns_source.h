// Pod source `netns`: the named network namespaces under /run/netns, as `ip netns add` makes them.
// The pod's name is the namespace's name; its namespace is "netns".
#pragma once

#include <string>
#include <utility>

#include "agent/discovery/pod_source.h"

namespace podtap::discovery {

// Lists the names in a directory, sorted, at most 4096. A missing directory is an empty one.
class NetnsSource : public PodSource {
 public:
  explicit NetnsSource(std::string directory) : directory_(std::move(directory)) {}

  absl::StatusOr<PodList> List() override;

 private:
  const std::string directory_;
};

}  // namespace podtap::discovery
