// Pod source `netns`: the named network namespaces under /run/netns, as `ip netns add` makes them.
// The pod's name is the namespace's name; its namespace is "netns".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/discovery/rtnl.h"

namespace podtap::discovery {

// A network namespace that belongs to a pod.
struct PodNamespace {
  std::string pod_name;
  // (device, inode) of the namespace. Inodes are reused at once after a namespace is gone: an
  // identity only together with the name.
  uint64_t device = 0;
  uint64_t inode = 0;
  // In the host's table, at the time of listing.
  int32_t namespace_id = -1;
};

struct NamespaceList {
  std::vector<PodNamespace> pods;
  // Names beyond the bound of 4096, not looked at.
  uint64_t left_out = 0;
};

// Lists the namespaces in `directory` that an interface of the host leads to, by name. Entries that
// are not network namespaces, and the host's own, are left out. Each is opened, looked at and
// closed at once: a namespace held open outlives its pod. A missing directory is an empty one.
absl::StatusOr<NamespaceList> ListNamedNamespaces(const std::string& directory, Rtnl& rtnl);

}  // namespace podtap::discovery
