// What a pod is called beyond its name, worked out from what its source knows. Pure.
#pragma once

#include <cstddef>
#include <cstdint>

#include "agent/discovery/pod.h"

namespace podtap::discovery {

// Labels that leave the node, of one pod. A name in Kubernetes has at most 317 bytes, a value 63.
inline constexpr size_t kMaxLabels = 32;
inline constexpr size_t kMaxLabelBytes = 512;
// Names and values of all together.
inline constexpr size_t kMaxAllLabelBytes = 2048;
inline constexpr size_t kMaxIdentityBytes = 256;
inline constexpr size_t kMaxImageBytes = 512;

// Fills `workload` and `service_name`, then makes of the rest what may leave the node: text that is
// printable and bounded, no annotations, no labels whose names smell of secrets. What is too long
// is left out, not cut: a part of a name is another name. Returns how many labels were left out.
//
// Call once, on what a source gave.
uint64_t DescribePod(PodIdentity& pod);

}  // namespace podtap::discovery
