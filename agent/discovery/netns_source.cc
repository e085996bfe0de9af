#include "agent/discovery/netns_source.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "common/status.h"
#include "common/text.h"
#include "common/unique_fd.h"

namespace podtap::discovery {
namespace {

constexpr size_t kMaxNamespaces = 4096;

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// The namespace behind `path`, or nullopt when there is none that the host leads to.
std::optional<PodNamespace> Look(const std::string& path, const std::string& name, Rtnl& rtnl) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    return std::nullopt;
  }
  struct statfs file_system;
  struct stat status;
  // Between `ip netns add` making the file and mounting the namespace on it, it is an empty file.
  if (::fstatfs(fd.get(), &file_system) != 0 || file_system.f_type != NSFS_MAGIC ||
      ::fstat(fd.get(), &status) != 0) {
    return std::nullopt;
  }
  const absl::StatusOr<std::optional<int32_t>> id = rtnl.NamespaceId(fd.get());
  // Not a network namespace, or no interface of the host leads there.
  if (!id.ok() || !id->has_value()) {
    return std::nullopt;
  }
  return PodNamespace{.pod_name = SafeText(name, 253),
                      .device = status.st_dev,
                      .inode = status.st_ino,
                      .namespace_id = **id};
}

}  // namespace

absl::StatusOr<NamespaceList> ListNamedNamespaces(const std::string& directory, Rtnl& rtnl) {
  const std::unique_ptr<DIR, DirectoryCloser> open(::opendir(directory.c_str()));
  if (open == nullptr) {
    if (errno == ENOENT) {
      return NamespaceList();
    }
    return ErrnoStatus(errno, "list %s", directory);
  }
  NamespaceList result;
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(open.get())) {
    if (entry->d_name[0] == '.') {
      continue;
    }
    if (names.size() < kMaxNamespaces) {
      names.emplace_back(entry->d_name);
    } else {
      ++result.left_out;
    }
  }
  // A namespace with two names goes by the first.
  std::sort(names.begin(), names.end());
  struct stat own {};
  ::stat("/proc/self/ns/net", &own);
  for (const std::string& name : names) {
    std::optional<PodNamespace> found = Look(directory + "/" + name, name, rtnl);
    const auto same = [&](const PodNamespace& other) {
      return other.device == found->device && other.inode == found->inode;
    };
    if (found && !(found->device == own.st_dev && found->inode == own.st_ino) &&
        std::none_of(result.pods.begin(), result.pods.end(), same)) {
      result.pods.push_back(*std::move(found));
    }
  }
  return result;
}

}  // namespace podtap::discovery
