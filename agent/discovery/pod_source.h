// Where pods come from: the names a node's network namespaces go by.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/discovery/pod.h"
#include "agent/discovery/proc/proc_files.h"

namespace podtap::discovery {

// A process through which a pod's network namespace is known.
struct NamespaceHolder {
  proc::ProcessId process;
  // Of the namespace.
  uint64_t inode = 0;

  friend bool operator==(const NamespaceHolder&, const NamespaceHolder&) = default;
};

// A pod as a source lists it.
struct Pod {
  // Unique among the source's pods and never given to another one: the id of its sandbox, or the
  // name of its namespace where there is nothing better.
  std::string id;
  PodIdentity identity;
  // A file that stands for the pod's network namespace. It may be gone, or no namespace, by the
  // time it is looked at. Empty when there is none to look at.
  std::string namespace_path;
  // Where the path leads through a process: it stands for the pod's namespace only while this
  // process lives there.
  std::optional<NamespaceHolder> holder;
  // The pod lives in the host's own network namespace.
  bool host_network = false;
  // Why the pod is not watched; empty when it is. No source fills this.
  std::string excluded_because;

  friend bool operator==(const Pod&, const Pod&) = default;
};

// As it is handed on: every look and every tap of the pod knows it.
using SharedPod = std::shared_ptr<const Pod>;

inline std::vector<SharedPod> Share(std::vector<Pod> pods) {
  std::vector<SharedPod> shared;
  shared.reserve(pods.size());
  for (Pod& pod : pods) {
    shared.push_back(std::make_shared<const Pod>(std::move(pod)));
  }
  return shared;
}

// Keeps the pod.
inline std::shared_ptr<const PodIdentity> IdentityOf(const SharedPod& pod) {
  return {pod, &pod->identity};
}

// Takes over what is known of the pod by now. Whether that is another thing than before.
inline bool Renew(std::shared_ptr<const PodIdentity>& known, const SharedPod& pod) {
  std::shared_ptr<const PodIdentity> before = std::exchange(known, IdentityOf(pod));
  return before != known && (before == nullptr || *before != *known);
}

struct PodList {
  std::vector<Pod> pods;
  // Beyond the source's bound, not listed.
  uint64_t left_out = 0;
  // Pods of which a bound left out a label, an annotation or a container.
  uint64_t cut = 0;

  friend bool operator==(const PodList&, const PodList&) = default;
};

// Not thread-safe: belongs to the thread that looks. None of this waits for another process: a
// source whose pods another process knows asks on a thread of its own.
class PodSource {
 public:
  virtual ~PodSource() = default;
  // The pods as known by now. Takes back what changed_fd() said.
  virtual absl::StatusOr<PodList> List() = 0;
  // False while List() may lack pods because whoever knows them does not answer.
  virtual bool is_current() const { return true; }
  // Something changed on the node, or some seconds have passed: whoever asks elsewhere asks again.
  virtual void Refresh() {}
  // Readable when List() has something else to give than before. -1 when that is never said.
  virtual int changed_fd() const { return -1; }
};

}  // namespace podtap::discovery
