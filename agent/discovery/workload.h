// Which workload a pod belongs to, told from its labels and the shape of its name: neither holds a
// reference to its owner, and the API server is not asked. The rules, and what they can't tell, are
// in docs/identity.md. Pure.
#pragma once

#include "agent/discovery/pod.h"

namespace podtap::discovery {

// The labels are as the source gave them. Empty where no rule is sure, or where two rules disagree:
// a wrong owner is worse than none.
Workload WorkloadOf(const PodIdentity& pod);

}  // namespace podtap::discovery
