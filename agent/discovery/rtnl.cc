#include "agent/discovery/rtnl.h"

#include <linux/if_arp.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <netlink/cache.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <netlink/socket.h>

#include <cstring>

#include "common/status.h"
#include "common/text.h"

namespace podtap::discovery {
namespace {

struct CacheDeleter {
  void operator()(nl_cache* cache) const { nl_cache_free(cache); }
};
struct MessageDeleter {
  void operator()(nl_msg* message) const { nlmsg_free(message); }
};
struct LinkDeleter {
  void operator()(rtnl_link* link) const { rtnl_link_put(link); }
};
using Cache = std::unique_ptr<nl_cache, CacheDeleter>;
using Socket = std::unique_ptr<nl_sock, NetlinkSocketDeleter>;

absl::Status NlStatus(int error, const char* what) {
  return absl::UnavailableError(absl::StrFormat("%s: %s", what, nl_geterror(error)));
}

absl::StatusOr<Socket> Connect() {
  Socket socket(nl_socket_alloc());
  PODTAP_CHECK(socket != nullptr);
  if (const int error = nl_connect(socket.get(), NETLINK_ROUTE); error < 0) {
    return NlStatus(error, "connect to rtnetlink");
  }
  return socket;
}

// NETNSA_NSID of an RTM_NEWNSID or RTM_DELNSID message; nullopt when there is none.
std::optional<int32_t> ReadNamespaceId(nlmsghdr* header) {
  const nlattr* attribute = nlmsg_find_attr(header, sizeof(rtgenmsg), NETNSA_NSID);
  if (attribute == nullptr || nla_len(attribute) < static_cast<int>(sizeof(int32_t))) {
    return std::nullopt;
  }
  int32_t id;
  std::memcpy(&id, nla_data(attribute), sizeof(id));
  return id >= 0 ? std::optional(id) : std::nullopt;
}

int OnNamespaceId(nl_msg* message, void* argument) {
  nlmsghdr* header = nlmsg_hdr(message);
  if (header->nlmsg_type == RTM_NEWNSID) {
    *static_cast<std::optional<int32_t>*>(argument) = ReadNamespaceId(header);
  }
  return NL_OK;
}

Link ToLink(rtnl_link* link) {
  Link value;
  value.index = static_cast<uint32_t>(rtnl_link_get_ifindex(link));
  if (const char* name = rtnl_link_get_name(link); name != nullptr) {
    // Whoever may make interfaces in a pod chooses any bytes but blanks, "/" and ":".
    value.name = SafeText(name);
  }
  if (const char* kind = rtnl_link_get_type(link); kind != nullptr) {
    value.kind = kind;
  }
  if (int32_t id = -1; rtnl_link_get_link_netnsid(link, &id) == 0 && id >= 0) {
    value.peer_namespace_id = id;
  } else if (const int lower = rtnl_link_get_link(link); lower > 0) {
    value.lower_index = static_cast<uint32_t>(lower);
  }
  value.master_index = static_cast<uint32_t>(rtnl_link_get_master(link));
  value.is_ethernet = rtnl_link_get_arptype(link) == ARPHRD_ETHER;
  value.is_loopback = rtnl_link_get_arptype(link) == ARPHRD_LOOPBACK;
  value.packets = rtnl_link_get_stat(link, RTNL_LINK_RX_PACKETS);
  if (!value.is_loopback) {
    value.packets += rtnl_link_get_stat(link, RTNL_LINK_TX_PACKETS);
  }
  return value;
}

void OnLinkObject(nl_object* object, void* argument) {
  (*static_cast<const std::function<void(const Link&)>*>(argument))(
      ToLink(reinterpret_cast<rtnl_link*>(object)));
}

// Bridges send messages of their own family about their ports, which look like links that come and
// go.
bool IsOfALink(const nlmsghdr* header) {
  const auto* info = static_cast<const ifinfomsg*>(nlmsg_data(header));
  return nlmsg_datalen(header) >= static_cast<int>(sizeof(*info)) && info->ifi_family == AF_UNSPEC;
}

struct Draining {
  const LinkChangeHandlers& handlers;
  bool changed = false;
};

// A change of a link or of a namespace id.
int OnChange(nl_msg* message, void* argument) {
  auto* draining = static_cast<Draining*>(argument);
  nlmsghdr* header = nlmsg_hdr(message);
  switch (header->nlmsg_type) {
    case RTM_NEWLINK:
      if (IsOfALink(header)) {
        draining->changed = true;
        nl_msg_parse(message, &OnLinkObject,
                     const_cast<void*>(static_cast<const void*>(&draining->handlers.on_link)));
      }
      break;
    case RTM_DELLINK:
      draining->changed |= IsOfALink(header);
      break;
    case RTM_NEWNSID:
      draining->changed = true;
      break;
    case RTM_DELNSID:
      draining->changed = true;
      if (const std::optional<int32_t> id = ReadNamespaceId(header)) {
        draining->handlers.on_namespace_gone(*id);
      }
      break;
    default:
      break;
  }
  return NL_OK;
}

}  // namespace

void NetlinkSocketDeleter::operator()(nl_sock* socket) const { nl_socket_free(socket); }

absl::StatusOr<Rtnl> Rtnl::Open() {
  PODTAP_ASSIGN_OR_RETURN(Socket socket, Connect());
  return Rtnl(std::move(socket));
}

absl::StatusOr<std::vector<Link>> Rtnl::Links() {
  nl_cache* raw = nullptr;
  if (const int error = rtnl_link_alloc_cache(socket_.get(), AF_UNSPEC, &raw); error < 0) {
    return NlStatus(error, "list interfaces");
  }
  const Cache cache(raw);
  std::vector<Link> links;
  for (nl_object* object = nl_cache_get_first(cache.get()); object != nullptr;
       object = nl_cache_get_next(object)) {
    links.push_back(ToLink(reinterpret_cast<rtnl_link*>(object)));
  }
  return links;
}

absl::StatusOr<std::optional<Link>> Rtnl::FindLink(uint32_t index) {
  rtnl_link* raw = nullptr;
  const int error = rtnl_link_get_kernel(socket_.get(), static_cast<int>(index), nullptr, &raw);
  // What the kernel calls ENODEV.
  if (error == -NLE_NODEV || error == -NLE_OBJ_NOTFOUND) {
    return std::nullopt;
  }
  if (error < 0) {
    return NlStatus(error, "ask for an interface");
  }
  const std::unique_ptr<rtnl_link, LinkDeleter> link(raw);
  return ToLink(link.get());
}

absl::StatusOr<std::vector<IpAddress>> Rtnl::Addresses() {
  nl_cache* raw = nullptr;
  if (const int error = rtnl_addr_alloc_cache(socket_.get(), &raw); error < 0) {
    return NlStatus(error, "list addresses");
  }
  const Cache cache(raw);
  std::vector<IpAddress> addresses;
  for (nl_object* object = nl_cache_get_first(cache.get()); object != nullptr;
       object = nl_cache_get_next(object)) {
    const nl_addr* local = rtnl_addr_get_local(reinterpret_cast<rtnl_addr*>(object));
    char text[128];
    if (local == nullptr) {
      continue;
    }
    // "10.0.0.1/24": the prefix is not part of the address.
    nl_addr2str(local, text, sizeof(text));
    if (char* slash = std::strchr(text, '/'); slash != nullptr) {
      *slash = '\0';
    }
    if (const std::optional<IpAddress> address = IpAddress::Parse(text)) {
      addresses.push_back(*address);
    }
  }
  return addresses;
}

absl::StatusOr<std::optional<int32_t>> Rtnl::NamespaceId(int namespace_fd) {
  const std::unique_ptr<nl_msg, MessageDeleter> message(
      nlmsg_alloc_simple(RTM_GETNSID, NLM_F_REQUEST));
  rtgenmsg general{.rtgen_family = AF_UNSPEC};
  PODTAP_CHECK(message != nullptr &&
               nlmsg_append(message.get(), &general, sizeof(general), NLMSG_ALIGNTO) == 0 &&
               nla_put_u32(message.get(), NETNSA_FD, static_cast<uint32_t>(namespace_fd)) == 0);
  std::optional<int32_t> id;
  nl_socket_modify_cb(socket_.get(), NL_CB_VALID, NL_CB_CUSTOM, &OnNamespaceId, &id);
  int error = nl_send_auto(socket_.get(), message.get());
  if (error >= 0) {
    // The answer, then the acknowledgement that nl_send_auto() asks for.
    error = nl_recvmsgs_default(socket_.get());
    if (error >= 0) {
      error = nl_wait_for_ack(socket_.get());
    }
  }
  nl_socket_modify_cb(socket_.get(), NL_CB_VALID, NL_CB_DEFAULT, nullptr, nullptr);
  if (error < 0) {
    return NlStatus(error, "ask for a namespace's id");
  }
  return id;
}

absl::StatusOr<LinkEvents> LinkEvents::Open(int receive_bytes) {
  PODTAP_ASSIGN_OR_RETURN(Socket socket, Connect());
  nl_socket_disable_seq_check(socket.get());
  if (const int error =
          nl_socket_add_memberships(socket.get(), RTNLGRP_LINK, RTNLGRP_NSID, RTNLGRP_NONE);
      error < 0) {
    return NlStatus(error, "watch interfaces");
  }
  // libnl's own choice of 32 KiB is a dozen messages.
  if (const int error = nl_socket_set_buffer_size(socket.get(), receive_bytes, 0); error < 0) {
    return NlStatus(error, "watch interfaces");
  }
  if (const int error = nl_socket_set_nonblocking(socket.get()); error < 0) {
    return NlStatus(error, "watch interfaces");
  }
  return LinkEvents(std::move(socket));
}

int LinkEvents::fd() const { return nl_socket_get_fd(socket_.get()); }

bool LinkEvents::Drain(const LinkChangeHandlers& handlers) {
  Draining draining{.handlers = handlers};
  nl_socket_modify_cb(socket_.get(), NL_CB_VALID, NL_CB_CUSTOM, &OnChange, &draining);
  int error = 0;
  do {
    error = nl_recvmsgs_default(socket_.get());
    // libnl reports ENOBUFS, messages lost in the socket's queue, as out of memory.
    if (error == -NLE_NOMEM) {
      ++overruns_;
      draining.changed = true;
      error = 0;
    }
  } while (error >= 0);
  return draining.changed;
}

}  // namespace podtap::discovery
