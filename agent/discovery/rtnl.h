// Questions to the kernel over rtnetlink, in the host's network namespace. The one user of libnl.
//
// None of these need a capability. Source: rtnetlink(7); RTM_GETNSID is Linux 4.0.
#pragma once

#include <cstdint>
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
  // Addresses of all interfaces.
  absl::StatusOr<std::vector<IpAddress>> Addresses();
  // Id of the namespace open at `namespace_fd` in the host's table; nullopt when it has none: no
  // interface of the host leads there. Ids are reused at once: never keep one.
  absl::StatusOr<std::optional<int32_t>> NamespaceId(int namespace_fd);

 private:
  explicit Rtnl(std::unique_ptr<nl_sock, NetlinkSocketDeleter> socket)
      : socket_(std::move(socket)) {}
  std::unique_ptr<nl_sock, NetlinkSocketDeleter> socket_;
};

// Hears of changes to interfaces and namespace ids. What changed is asked for anew: a message may
// be lost, and an id may be reused. Not thread-safe.
class LinkEvents {
 public:
  static absl::StatusOr<LinkEvents> Open();

  // Readable when there may be a change.
  int fd() const;
  // Takes what is there. True when something changed that taps may depend on, or when messages were
  // lost (ENOBUFS).
  bool Drain();
  // Times that messages were lost.
  uint64_t overruns() const { return overruns_; }

 private:
  explicit LinkEvents(std::unique_ptr<nl_sock, NetlinkSocketDeleter> socket)
      : socket_(std::move(socket)) {}
  std::unique_ptr<nl_sock, NetlinkSocketDeleter> socket_;
  uint64_t overruns_ = 0;
};

}  // namespace podtap::discovery
