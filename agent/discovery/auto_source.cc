#include "agent/discovery/auto_source.h"

#include <sys/stat.h>

#include <algorithm>
#include <iterator>
#include <set>
#include <string>

#include "common/log.h"
#include "common/status.h"

namespace podtap::discovery {

PodList OnePodPerNamespace(PodList named, PodList others) {
  std::set<uint64_t> inodes;
  for (const Pod& pod : named.pods) {
    if (struct stat status{}; ::stat(pod.namespace_path.c_str(), &status) == 0) {
      inodes.insert(status.st_ino);
    }
  }
  std::copy_if(std::make_move_iterator(others.pods.begin()),
               std::make_move_iterator(others.pods.end()), std::back_inserter(named.pods),
               [&](const Pod& pod) { return !inodes.contains(pod.holder->inode); });
  named.left_out += others.left_out;
  return named;
}

absl::StatusOr<PodList> AutoSource::List() {
  // Takes back what changed_fd() said, whoever is asked.
  absl::StatusOr<PodList> list = runtime_->List();
  return asks_runtime() ? list : ListNamespaces();
}

absl::StatusOr<PodList> AutoSource::ListNamespaces() {
  PODTAP_ASSIGN_OR_RETURN(PodList list, namespaces_.List());
  if (!processes_.ok()) {
    if (!refusal_logged_) {
      PODTAP_LOG_INFO("only namespaces that have a name are pods: {}",
                      std::string(processes_.status().message()));
      refusal_logged_ = true;
    }
    return list;
  }
  PODTAP_ASSIGN_OR_RETURN(PodList others, (*processes_)->List());
  return OnePodPerNamespace(std::move(list), std::move(others));
}

}  // namespace podtap::discovery
