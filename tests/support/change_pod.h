// Pods are shared and never change: who wants one that is otherwise the same changes a copy.
#pragma once

#include <memory>
#include <utility>

#include "agent/discovery/pod_namespace.h"

namespace podtap::testing {

// `change` is called with the copy, which takes the pod's place.
template <typename Change>
void ChangePod(discovery::PodNamespace& place, Change change) {
  discovery::Pod pod = *place.pod;
  change(pod);
  place.pod = std::make_shared<const discovery::Pod>(std::move(pod));
}

}  // namespace podtap::testing
