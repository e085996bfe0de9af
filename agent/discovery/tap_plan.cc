#include "agent/discovery/tap_plan.h"

#include <algorithm>

namespace podtap::discovery {

bool MayBePods(const Link& link) {
  return (link.kind == "veth" || link.kind == "netkit") && link.peer_namespace_id.has_value();
}

std::vector<WantedTap> PlanTaps(const std::vector<Link>& links,
                                const std::vector<PodNamespace>& namespaces) {
  std::vector<WantedTap> wanted;
  for (const Link& link : links) {
    if (!MayBePods(link)) {
      continue;
    }
    WantedTap& tap = wanted.emplace_back(WantedTap{.interface_index = link.index,
                                                   .interface_name = link.name,
                                                   .namespace_id = *link.peer_namespace_id});
    const auto owner =
        std::find_if(namespaces.begin(), namespaces.end(),
                     [&](const PodNamespace& pod) { return pod.namespace_id == tap.namespace_id; });
    if (owner != namespaces.end()) {
      tap.owner = *owner;
    }
  }
  std::sort(wanted.begin(), wanted.end(), [](const WantedTap& a, const WantedTap& b) {
    return a.interface_index < b.interface_index;
  });
  return wanted;
}

}  // namespace podtap::discovery
