#include "agent/discovery/pod_namespace.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <optional>
#include <thread>
#include <utility>

#include "common/status.h"
#include "common/unique_fd.h"

namespace podtap::discovery {
namespace {

// A pod's network namespace, open. To be closed as soon as it has been asked about.
struct OpenNamespace {
  UniqueFd fd;
  uint64_t device = 0;
  uint64_t inode = 0;
};

// A process id is reused at once. A process that is there once its namespace is open, and was there
// before, is the one whose namespace it is.
bool IsHeld(const NamespaceHolder& holder, uint64_t inode) {
  return inode == holder.inode && proc::FindProcess("/proc", holder.process.pid) == holder.process;
}

std::optional<OpenNamespace> Open(const Pod& pod) {
  // Not to wait for a writer where the path turns out to be a pipe.
  UniqueFd fd(::open(pod.namespace_path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) {
    return std::nullopt;
  }
  struct statfs file_system;
  struct stat status;
  // Between `ip netns add` making the file and mounting the namespace on it, it is an empty file.
  if (::fstatfs(fd.get(), &file_system) != 0 || file_system.f_type != NSFS_MAGIC ||
      ::fstat(fd.get(), &status) != 0 || (pod.holder && !IsHeld(*pod.holder, status.st_ino))) {
    return std::nullopt;
  }
  return OpenNamespace{.fd = std::move(fd), .device = status.st_dev, .inode = status.st_ino};
}

std::optional<PodNamespace> Look(const SharedPod& pod, Rtnl& rtnl) {
  const std::optional<OpenNamespace> open = Open(*pod);
  if (!open) {
    return std::nullopt;
  }
  const absl::StatusOr<std::optional<int32_t>> id = rtnl.NamespaceId(open->fd.get());
  if (!id.ok()) {
    // Not a network namespace.
    return std::nullopt;
  }
  return PodNamespace{
      .pod = pod, .device = open->device, .inode = open->inode, .namespace_id = id->value_or(-1)};
}

// The namespace that was found, or nothing.
std::optional<OpenNamespace> OpenAgain(const PodNamespace& owner) {
  std::optional<OpenNamespace> open = Open(*owner.pod);
  if (open && (open->device != owner.device || open->inode != owner.inode)) {
    open.reset();
  }
  return open;
}

absl::Status Enter(OpenNamespace open) {
  return ::setns(open.fd.get(), CLONE_NEWNET) == 0 ? absl::OkStatus()
                                                   : ErrnoStatus(errno, "enter namespace of pod");
}

}  // namespace

std::vector<PodNamespace> FindNamespaces(const std::vector<SharedPod>& pods, Rtnl& rtnl,
                                         const std::function<void()>& between) {
  std::vector<PodNamespace> result;
  struct stat own {};
  ::stat("/proc/self/ns/net", &own);
  for (const SharedPod& pod : pods) {
    if (pod->host_network || pod->namespace_path.empty()) {
      continue;
    }
    between();
    std::optional<PodNamespace> found = Look(pod, rtnl);
    const auto same = [&](const PodNamespace& other) {
      return other.device == found->device && other.inode == found->inode;
    };
    if (found && !(found->device == own.st_dev && found->inode == own.st_ino) &&
        std::none_of(result.begin(), result.end(), same)) {
      result.push_back(*std::move(found));
    }
  }
  return result;
}

bool LeadsTo(uint32_t interface_index, const PodNamespace& owner, Rtnl& rtnl) {
  const std::optional<OpenNamespace> open = OpenAgain(owner);
  if (!open) {
    return false;
  }
  const absl::StatusOr<std::optional<int32_t>> id = rtnl.NamespaceId(open->fd.get());
  const absl::StatusOr<std::optional<Link>> link = rtnl.FindLink(interface_index);
  return id.ok() && id->has_value() && link.ok() && link->has_value() &&
         (*link)->peer_namespace_id == *id;
}

bool IsThere(const PodNamespace& owner) {
  struct stat status;
  return ::stat(owner.pod->namespace_path.c_str(), &status) == 0 && status.st_dev == owner.device &&
         status.st_ino == owner.inode;
}

absl::Status RunInside(const PodNamespace& owner, const std::function<void()>& body) {
  std::optional<OpenNamespace> open = OpenAgain(owner);
  if (!open) {
    return absl::NotFoundError("enter namespace of pod: it is gone");
  }
  absl::Status entered;
  std::thread([&] {
    // Closed once inside: the thread keeps the namespace meanwhile.
    entered = Enter(*std::move(open));
    if (entered.ok()) {
      body();
    }
  }).join();
  return entered;
}

}  // namespace podtap::discovery
