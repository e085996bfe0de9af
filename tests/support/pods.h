// Pods for tests of those that take them.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "agent/discovery/pod_namespace.h"

namespace podtap::testing {

// As the netns source lists it.
inline discovery::Pod MakePod(const std::string& name) {
  return {.id = name,
          .identity = {.namespace_name = "netns", .pod_name = name},
          .namespace_path = "/run/netns/" + name};
}

// Pods are shared and never change: `change` is called with a copy, which takes the pod's place.
template <typename Change>
void ChangePod(discovery::PodNamespace& place, Change change) {
  discovery::Pod pod = *place.pod;
  change(pod);
  place.pod = std::make_shared<const discovery::Pod>(std::move(pod));
}

}  // namespace podtap::testing
