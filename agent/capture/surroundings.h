// What the kernel lets this process do, and in words what is missing when it does not.
//
// The kernel says EPERM for a missing capability, a seccomp profile, a lockdown and, before Linux
// 5.11, for too small a memlock limit; EINVAL for features it does not have. What is found around
// us tells them apart.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace podtap::capture {

// Defaults stand for what could not be found out: nothing is claimed to be missing by guess.
struct Surroundings {
  bool has_cap_bpf = true;
  bool has_cap_net_raw = true;
  // Stands in for CAP_BPF.
  bool has_cap_sys_admin = false;
  bool has_seccomp_filter = false;
  bool has_ring_buffer = true;
  // Of the running kernel; 0 when not known.
  int kernel_major = 0;
  int kernel_minor = 0;
};

// Looks at /proc, uname(2) and the kernel's map types.
Surroundings LookAround();

// From the text of /proc/self/status and the release of uname(2), e.g. "5.15.0-91-generic".
Surroundings ParseSurroundings(const std::string& proc_status, const std::string& release);

// kPermissionDenied names the first capability that is missing, what it is for and how to grant it.
// `enters_pods`: the agent is to enter pods' network namespaces.
absl::Status CheckCapabilities(const Surroundings& surroundings, bool enters_pods = false);

// Why loading the capture program failed with `error` (an errno), and what to do. `ring_bytes` is
// what was asked for.
absl::Status ExplainLoadFailure(int error, uint32_t ring_bytes, const Surroundings& surroundings);

}  // namespace podtap::capture
