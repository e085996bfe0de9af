// Which interfaces to tap for which pods. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/discovery/link.h"
#include "agent/discovery/pod_namespace.h"

namespace podtap::discovery {

// One tap that should be open.
struct WantedTap {
  uint32_t interface_index = 0;
  std::string interface_name;
  // Of the namespace at the interface's other end, at the time of the look.
  int32_t namespace_id = -1;
  // That have crossed the interface, see Link.
  uint64_t packets = 0;
  // Whose the tap is, as far as the look can tell; absent while no pod is known behind the
  // interface. An id may be given to another namespace in the middle of a look: see LeadsTo().
  std::optional<PodNamespace> owner;
};

// Whether the interface may be the host's end of a pod's: of a kind whose host side sees all of the
// pod's traffic, with its other end in another namespace. IFLA_LINK is never looked at: the peer's
// index is one of another namespace and means nothing here.
bool MayBePods(const Link& link);

// Matches host interfaces to pods by the namespace id of the peer. Sorted by interface index.
std::vector<WantedTap> PlanTaps(const std::vector<Link>& links,
                                const std::vector<PodNamespace>& namespaces);

// Of all interfaces inside a pod's namespace those to tap there, so that what leaves and enters the
// pod is seen once. Ethernet devices, but not:
// - a device with ports of its own (bridge, bond): its frames cross the ports;
// - what is stacked on a device of the namespace and passes its frames through as they are (VLAN,
//   macvlan, ipvlan), and pairs with both ends in it;
// - a pair's end whose other end is not in the host's namespace, where this id stands for the host
//   in the pod's table of ids: behind it is somebody else;
// - devices that lead to programs or nowhere (tun, ifb, dummy).
std::vector<Link> PodSideLinks(const std::vector<Link>& links, std::optional<int32_t> host_id);

// The namespace's own loopback.
std::vector<Link> LoopbackLinks(const std::vector<Link>& links);

}  // namespace podtap::discovery
