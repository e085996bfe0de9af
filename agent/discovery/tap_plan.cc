#include "agent/discovery/tap_plan.h"

#include <algorithm>
#include <initializer_list>
#include <iterator>
#include <string_view>

namespace podtap::discovery {
namespace {

bool IsOneOf(const std::string& kind, std::initializer_list<std::string_view> kinds) {
  return std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
}

bool IsPair(const Link& link) { return IsOneOf(link.kind, {"veth", "netkit"}); }

// Its frames cross the lower device as they are, or with a VLAN tag more.
bool PassesThrough(const Link& link) {
  return IsPair(link) || IsOneOf(link.kind, {"vlan", "macvlan", "macvtap", "ipvlan", "ipvtap"});
}

}  // namespace

bool MayBePods(const Link& link) { return IsPair(link) && link.peer_namespace_id.has_value(); }

std::vector<WantedTap> PlanTaps(const std::vector<Link>& links,
                                const std::vector<PodNamespace>& namespaces) {
  std::vector<WantedTap> wanted;
  for (const Link& link : links) {
    if (!MayBePods(link)) {
      continue;
    }
    WantedTap& tap = wanted.emplace_back(WantedTap{.interface_index = link.index,
                                                   .interface_name = link.name,
                                                   .namespace_id = *link.peer_namespace_id,
                                                   .packets = link.packets});
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

std::vector<Link> PodSideLinks(const std::vector<Link>& links, std::optional<int32_t> host_id) {
  std::vector<Link> chosen;
  for (const Link& link : links) {
    const bool has_ports = std::any_of(links.begin(), links.end(), [&](const Link& other) {
      return other.master_index == link.index;
    });
    const bool is_stacked = link.lower_index != 0 && PassesThrough(link);
    const bool is_anothers = IsPair(link) && (!host_id || link.peer_namespace_id != host_id);
    if (link.is_ethernet && !has_ports && !is_stacked && !is_anothers &&
        !IsOneOf(link.kind, {"tun", "ifb", "dummy"})) {
      chosen.push_back(link);
    }
  }
  return chosen;
}

std::vector<Link> LoopbackLinks(const std::vector<Link>& links) {
  std::vector<Link> chosen;
  std::copy_if(links.begin(), links.end(), std::back_inserter(chosen),
               [](const Link& link) { return link.is_loopback; });
  return chosen;
}

}  // namespace podtap::discovery
