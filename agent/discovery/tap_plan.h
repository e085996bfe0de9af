// Which interfaces to tap for which pods. Pure.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/discovery/link.h"
#include "agent/discovery/netns_source.h"
#include "agent/discovery/pod.h"

namespace podtap::discovery {

// One tap that should be open.
struct WantedTap {
  uint32_t interface_index = 0;
  std::string interface_name;
  PodIdentity pod;
  // Of the pod's network namespace; with the pod's name the identity of the tap's owner.
  uint64_t namespace_inode = 0;

  friend bool operator==(const WantedTap&, const WantedTap&) = default;
};

// Matches host interfaces to pods by the namespace id of the peer. Only kinds whose host side sees
// all of the pod's traffic match. IFLA_LINK is never looked at: the peer's index is one of another
// namespace and means nothing here. Sorted by interface index.
std::vector<WantedTap> PlanTaps(const std::vector<Link>& links,
                                const std::vector<PodNamespace>& namespaces);

}  // namespace podtap::discovery
