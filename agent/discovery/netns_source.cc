#include "agent/discovery/netns_source.h"

#include <dirent.h>

#include <algorithm>
#include <memory>

#include "common/status.h"
#include "common/text.h"

namespace podtap::discovery {
namespace {

constexpr size_t kMaxNamespaces = 4096;

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

}  // namespace

absl::StatusOr<PodList> NetnsSource::List() {
  const std::unique_ptr<DIR, DirectoryCloser> open(::opendir(directory_.c_str()));
  if (open == nullptr) {
    if (errno == ENOENT) {
      return PodList();
    }
    return ErrnoStatus(errno, "list %s", directory_);
  }
  PodList list;
  std::vector<std::string> names;
  while (const dirent* entry = ::readdir(open.get())) {
    if (entry->d_name[0] == '.') {
      continue;
    }
    if (names.size() < kMaxNamespaces) {
      names.emplace_back(entry->d_name);
    } else {
      ++list.left_out;
    }
  }
  // A namespace with two names goes by the first.
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    list.pods.push_back({.id = name,
                         .identity = {.namespace_name = "netns", .pod_name = SafeText(name, 253)},
                         .namespace_path = directory_ + "/" + name});
  }
  return list;
}

}  // namespace podtap::discovery
