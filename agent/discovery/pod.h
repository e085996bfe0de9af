// Value: who a pod is. What discovery finds and enrichment names endpoints with.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

namespace podtap::discovery {

// A container of a pod.
struct Container {
  std::string name;
  // As the runtime names it, e.g. "docker.io/library/nginx:1.25".
  std::string image;

  friend bool operator==(const Container&, const Container&) = default;
};

// What a pod belongs to.
struct Workload {
  // As Kubernetes spells it, e.g. "Deployment". Empty when it is not known.
  std::string kind;
  std::string name;

  friend bool operator==(const Workload&, const Workload&) = default;
};

// Identity of a pod. Immutable once published, which it is after DescribePod(); shared by tap
// directory snapshots. What a source does not know is empty.
struct PodIdentity {
  // The netns source puts every pod into the namespace "netns".
  std::string namespace_name;
  std::string pod_name;
  std::string pod_uid;
  std::map<std::string, std::string> labels;
  std::map<std::string, std::string> annotations;
  std::vector<Container> containers;
  // Worked out by DescribePod(), as is that everything above but the names is printable and
  // bounded.
  Workload workload;
  std::string service_name;

  friend bool operator==(const PodIdentity&, const PodIdentity&) = default;
};

// Whether both are the same pod, whatever else is known of it by now.
inline bool IsSamePod(const PodIdentity& a, const PodIdentity& b) {
  return std::tie(a.namespace_name, a.pod_name, a.pod_uid) ==
         std::tie(b.namespace_name, b.pod_name, b.pod_uid);
}

}  // namespace podtap::discovery
