// Which interfaces to tap for which pods. Pure.
#pragma once

#include <string>
#include <tuple>
#include <vector>

#include "agent/discovery/link.h"
#include "agent/discovery/pod_namespace.h"

namespace podtap::discovery {

// One tap that should be open.
struct WantedTap {
  uint32_t interface_index = 0;
  std::string interface_name;
  PodIdentity pod;
  // With the inode of the pod's network namespace the identity of the tap's owner.
  std::string pod_id;
  uint64_t namespace_inode = 0;

  // Whether both are a tap of the same interface for the same owner.
  bool IsSameTap(const WantedTap& other) const {
    return std::tie(interface_index, interface_name, pod_id, namespace_inode) ==
           std::tie(other.interface_index, other.interface_name, other.pod_id,
                    other.namespace_inode);
  }
  friend bool operator==(const WantedTap&, const WantedTap&) = default;
};

// Whether the interface may be the host's end of a pod's: of a kind whose host side sees all of the
// pod's traffic, with its other end in another namespace.
bool MayBePods(const Link& link);

// Matches host interfaces to pods by the namespace id of the peer. IFLA_LINK is never looked at:
// the peer's index is one of another namespace and means nothing here. Sorted by interface index.
std::vector<WantedTap> PlanTaps(const std::vector<Link>& links,
                                const std::vector<PodNamespace>& namespaces);

}  // namespace podtap::discovery
