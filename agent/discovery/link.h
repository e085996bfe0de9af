// Value: one interface of the host's network namespace, as RTM_GETLINK lists it.
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
  // Id of the namespace that holds the other end, in the host's table of ids
  // (IFLA_LINK_NETNSID); absent when that is the host's own namespace, or there is none.
  std::optional<int32_t> peer_namespace_id;
  // Packets that have crossed it so far, both ways.
  uint64_t packets = 0;
};

}  // namespace podtap::discovery
