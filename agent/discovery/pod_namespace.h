// The pods' network namespaces: which ids of the host's table are theirs, and a way into them.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "agent/discovery/pod_source.h"
#include "agent/discovery/rtnl.h"

namespace podtap::discovery {

// A pod with a network namespace of its own.
struct PodNamespace {
  SharedPod pod;
  // (device, inode) of the namespace. Inodes are reused at once after a namespace is gone: an
  // identity only together with the pod's id.
  uint64_t device = 0;
  uint64_t inode = 0;
  // In the host's table, at the time of asking; -1 when no interface of the host leads there.
  int32_t namespace_id = -1;
};

// Opens each pod's namespace, looks at it, asks for its id and closes it at once: a namespace held
// open outlives its pod. Pods whose path is not a network namespace, or is the host's own, are left
// out. Of two pods in one namespace the first stays. `between` is called before each pod: all of
// them together take a while.
std::vector<PodNamespace> FindNamespaces(
    const std::vector<SharedPod>& pods, Rtnl& rtnl, const std::function<void()>& between = [] {});

// Proves that the interface leads to the pod's namespace. Ids are reused at once, and so are
// inodes; but while a namespace is open it can't go, and its id stays its own, so an interface that
// has this id at its other end meanwhile leads there. False when it does not, or when the path
// stands for another namespace than the one that was found, or for none.
bool LeadsTo(uint32_t interface_index, const PodNamespace& owner, Rtnl& rtnl);

// Whether the path still stands for the namespace that was found. Proves that it is the same one
// only while something keeps it: see above.
bool IsThere(const PodNamespace& owner);

// Runs `body` inside the pod's namespace and waits for it. It runs on a thread of its own, which
// ends there: no other thread ever leaves the host's namespace. Nothing of the namespace is open
// afterwards but what `body` leaves open. kNotFound when the path stands for another namespace than
// the one that was found, or for none; kPermissionDenied without CAP_SYS_ADMIN.
absl::Status RunInside(const PodNamespace& owner, const std::function<void()>& body);

}  // namespace podtap::discovery
