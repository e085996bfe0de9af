#include "agent/capture/packet_tap.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>

#include "common/status.h"

namespace podtap::capture {

absl::StatusOr<PacketTap> PacketTap::Open(uint32_t interface_index, int dispatcher_fd) {
  // Protocol 0 keeps the socket deaf until bind(): with ETH_P_ALL here, frames of every interface
  // would be queued in the moments before the filter is on.
  UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!fd.valid()) {
    if (errno == EPERM) {
      return absl::PermissionDeniedError("open tap: grant CAP_NET_RAW");
    }
    return ErrnoStatus(errno, "open tap of interface %d", interface_index);
  }
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_ATTACH_BPF, &dispatcher_fd, sizeof(dispatcher_fd)) !=
      0) {
    return ErrnoStatus(errno, "attach filter to tap of interface %d", interface_index);
  }
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(interface_index);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoStatus(errno, "bind tap to interface %d", interface_index);
  }
  return PacketTap(std::move(fd));
}

bool PacketTap::IsBound() const {
  sockaddr_ll address{};
  socklen_t size = sizeof(address);
  return ::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0 &&
         address.sll_ifindex > 0;
}

}  // namespace podtap::capture
