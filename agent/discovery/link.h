// Value: one interface, as RTM_GETLINK lists it in the network namespace it is in.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace podtap::discovery {

struct Link {
  uint32_t index = 0;
  std::string name;
  // IFLA_INFO_KIND, e.g. "veth"; empty for physical devices.
  std::string kind;
  // Id of the namespace that holds the other end, or what it is stacked on, in the table of ids of
  // the listing namespace (IFLA_LINK_NETNSID); absent when that is the same namespace, or there is
  // none.
  std::optional<int32_t> peer_namespace_id;
  // The other end, or what it is stacked on, in the same namespace (IFLA_LINK); 0 when it is
  // elsewhere, or there is none.
  uint32_t lower_index = 0;
  // The bridge, bond or the like that it is a port of; 0 for none.
  uint32_t master_index = 0;
  // Its frames have Ethernet headers. Loopback has them too, and is another type.
  bool is_ethernet = true;
  bool is_loopback = false;
  // Packets that have crossed it so far, both ways; on loopback, each once.
  uint64_t packets = 0;
};

}  // namespace podtap::discovery
