#include "agent/discovery/tap_plan.h"

#include <algorithm>

namespace podtap::discovery {

bool MayBePods(const Link& link) {
  return link.kind == "veth" && link.peer_namespace_id.has_value();
}

std::vector<WantedTap> PlanTaps(const std::vector<Link>& links,
                                const std::vector<PodNamespace>& namespaces) {
  std::vector<WantedTap> wanted;
  for (const Link& link : links) {
    if (!MayBePods(link)) {
      continue;
    }
    const auto owner = std::find_if(
        namespaces.begin(), namespaces.end(),
        [&](const PodNamespace& pod) { return pod.namespace_id == *link.peer_namespace_id; });
    if (owner != namespaces.end()) {
      wanted.push_back({.interface_index = link.index,
                        .interface_name = link.name,
                        .pod = owner->pod.identity,
                        .pod_id = owner->pod.id,
                        .namespace_inode = owner->inode});
    }
  }
  std::sort(wanted.begin(), wanted.end(), [](const WantedTap& a, const WantedTap& b) {
    return a.interface_index < b.interface_index;
  });
  return wanted;
}

}  // namespace podtap::discovery
