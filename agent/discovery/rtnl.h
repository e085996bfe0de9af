// Questions to the kernel over rtnetlink, in the network namespace of the thread that opens the
// socket: the host's, but for a thread inside a pod's. The one user of libnl.
//
// None of these need a capability. Source: rtnetlink(7); RTM_GETNSID is Linux 4.0.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/discovery/link.h"
#include "common/ip_address.h"

struct nl_sock;

namespace podtap::discovery {

struct NetlinkSocketDeleter {
  void operator()(nl_sock* socket) const;
};

// Asks and waits for the answer. Not thread-safe.
class Rtnl {
 public:
  static absl::StatusOr<Rtnl> Open();

  // All interfaces. Listing them makes the kernel give ids to the namespaces of their peers, so
  // list first, then ask NamespaceId().
  absl::StatusOr<std::vector<Link>> Links();
  // One interface; nullopt when there is none of this index.
  absl::StatusOr<std::optional<Link>> FindLink(uint32_t index);
  // Addresses of all interfaces.
  absl::StatusOr<std::vector<IpAddress>> Addresses();
  // Id of the namespace open at `namespace_fd` in this namespace's table; nullopt when it has none:
  // no interface leads there. Ids are reused at once: never keep one.
  absl::StatusOr<std::optional<int32_t>> NamespaceId(int namespace_fd);

 private:
  explicit Rtnl(std::unique_ptr<nl_sock, NetlinkSocketDeleter> socket)
      : socket_(std::move(socket)) {}
  std::unique_ptr<nl_sock, NetlinkSocketDeleter> socket_;
};

// What is called for each change, in the kernel's order.
struct LinkChangeHandlers {
  // An interface that appeared or changed, as it was then.
  std::function<void(const Link&)> on_link;
  // The namespace of this id is gone. The id may be another's by now.
  std::function<void(int32_t)> on_namespace_gone;
};

// Hears of changes to interfaces and namespace ids. A message may be lost, and tells of the past:
// what must be certain is asked for anew. Not thread-safe.
class LinkEvents {
 public:
  // `receive_bytes` of messages may wait, as far as the kernel allows it without a privilege.
  static absl::StatusOr<LinkEvents> Open(int receive_bytes = 1 << 20);

  // Readable when there may be a change.
  int fd() const;
  // Takes what is there. True when something changed that taps may depend on, or when messages were
  // lost (ENOBUFS).
  bool Drain(const LinkChangeHandlers& handlers);
  // Times that messages were lost.
  uint64_t overruns() const { return overruns_; }

 private:
  explicit LinkEvents(std::unique_ptr<nl_sock, NetlinkSocketDeleter> socket)
      : socket_(std::move(socket)) {}
  std::unique_ptr<nl_sock, NetlinkSocketDeleter> socket_;
  uint64_t overruns_ = 0;
};

}  // namespace podtap::discovery
