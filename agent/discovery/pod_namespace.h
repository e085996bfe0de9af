// Which namespace ids of the host's table belong to which pods.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "agent/discovery/pod_source.h"
#include "agent/discovery/rtnl.h"

namespace podtap::discovery {

// A pod whose network namespace an interface of the host leads to.
struct PodNamespace {
  Pod pod;
  // (device, inode) of the namespace. Inodes are reused at once after a namespace is gone: an
  // identity only together with the pod's id.
  uint64_t device = 0;
  uint64_t inode = 0;
  // In the host's table, at the time of asking.
  int32_t namespace_id = -1;
};

// Opens each pod's namespace, looks at it, asks for its id and closes it at once: a namespace held
// open outlives its pod. Pods whose path is not a network namespace, is the host's own, or is one
// that no interface of the host leads to, are left out. Of two pods in one namespace the first
// stays. `between` is called before each pod: all of them together take a while.
std::vector<PodNamespace> FindNamespaces(
    const std::vector<Pod>& pods, Rtnl& rtnl, const std::function<void()>& between = [] {});

// Proves that the interface leads to the pod's namespace. Ids are reused at once, and so are
// inodes; but while a namespace is open it can't go, and its id stays its own, so an interface that
// has this id at its other end meanwhile leads there. False when it does not, or when the path
// stands for another namespace than the one that was found, or for none.
bool LeadsTo(uint32_t interface_index, const PodNamespace& owner, Rtnl& rtnl);

}  // namespace podtap::discovery
