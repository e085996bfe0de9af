// A runtime's words on a pod as our own: safe text within bounds. Pure.
#pragma once

#include "agent/discovery/pod.h"
#include "runtime/v1/runtime_service.pb.h"

namespace podtap::discovery::cri {

// Per pod. What is beyond is left out.
struct PodBounds {
  size_t labels = 64;
  size_t label_value_bytes = 253;
  size_t annotations = 64;
  // Longer annotations hold documents, which nobody names a pod by.
  size_t annotation_value_bytes = 1024;
  size_t key_bytes = 317;
  // Of labels and of annotations, each.
  size_t text_bytes = 16 << 10;
  size_t containers = 32;
};

// An identity, and whether a bound left out something of it.
struct BoundedIdentity {
  PodIdentity identity;
  bool cut = false;
};

// Names, labels and annotations of a sandbox. Labels of Kubernetes' own making (io.kubernetes.…),
// which say the names again, are left out.
BoundedIdentity IdentityOf(const runtime::v1::PodSandbox& sandbox, const PodBounds& bounds = {});

// Adds a container of the pod that runs, in the order of names. A container that was restarted is
// one.
void AddContainer(const runtime::v1::Container& container, BoundedIdentity& pod,
                  const PodBounds& bounds = {});

}  // namespace podtap::discovery::cri
