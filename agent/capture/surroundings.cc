#include "agent/capture/surroundings.h"

#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <sys/utsname.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_format.h"

namespace podtap::capture {
namespace {

constexpr std::pair kLeastKernel = {5, 15};
// From here on maps are charged to the memory cgroup, not to RLIMIT_MEMLOCK.
constexpr std::pair kNoMemlockKernel = {5, 11};
constexpr char kGrant[] =
    "run as root or grant it (setpriv --bounding-set, securityContext.capabilities.add, "
    "AmbientCapabilities=)";

// The number behind "NAME:\t" in /proc/self/status.
bool FindNumber(const std::string& text, const char* name, int base, uint64_t* number) {
  const std::string key = std::string("\n") + name + ":\t";
  const size_t at = ("\n" + text).find(key);
  if (at == std::string::npos) {
    return false;
  }
  *number = std::strtoull(text.c_str() + at + key.size() - 1, nullptr, base);
  return true;
}

bool HasBit(uint64_t set, int bit) { return (set >> bit & 1) != 0; }

bool IsOlder(const Surroundings& surroundings, std::pair<int, int> than) {
  return surroundings.kernel_major != 0 &&
         std::pair(surroundings.kernel_major, surroundings.kernel_minor) < than;
}

std::string Kernel(const Surroundings& surroundings) {
  return absl::StrFormat("podtap needs Linux %d.%d or newer, this is %d.%d", kLeastKernel.first,
                         kLeastKernel.second, surroundings.kernel_major, surroundings.kernel_minor);
}

absl::Status Missing(const char* capability, const char* purpose) {
  return absl::PermissionDeniedError(
      absl::StrFormat("%s is missing: %s needs it; %s", capability, purpose, kGrant));
}

absl::Status ExplainPermission(int error, const Surroundings& surroundings) {
  if (IsOlder(surroundings, kNoMemlockKernel)) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "load capture program: %s: RLIMIT_MEMLOCK is too small for its maps; raise it (ulimit -l "
        "unlimited, LimitMEMLOCK=infinity)",
        std::strerror(error)));
  }
  if (error == EACCES) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "load capture program: this kernel's verifier refuses it; %s", Kernel(surroundings)));
  }
  if (surroundings.has_seccomp_filter) {
    return absl::PermissionDeniedError(absl::StrFormat(
        "load capture program: %s, though the capabilities are there: a seccomp profile blocks "
        "bpf(); allow it in the profile",
        std::strerror(error)));
  }
  return absl::PermissionDeniedError(absl::StrFormat(
      "load capture program: %s, though the capabilities are there: a kernel lockdown or a "
      "security module forbids bpf(); its log says which",
      std::strerror(error)));
}

}  // namespace

Surroundings ParseSurroundings(const std::string& proc_status, const std::string& release) {
  Surroundings found;
  uint64_t number = 0;
  if (FindNumber(proc_status, "CapEff", 16, &number)) {
    found.has_cap_bpf = HasBit(number, CAP_BPF);
    found.has_cap_net_raw = HasBit(number, CAP_NET_RAW);
    found.has_cap_sys_admin = HasBit(number, CAP_SYS_ADMIN);
  }
  if (FindNumber(proc_status, "Seccomp", 10, &number)) {
    found.has_seccomp_filter = number == 2;
  }
  if (std::sscanf(release.c_str(), "%d.%d", &found.kernel_major, &found.kernel_minor) != 2) {
    found.kernel_major = found.kernel_minor = 0;
  }
  return found;
}

Surroundings LookAround() {
  std::stringstream status;
  status << std::ifstream("/proc/self/status").rdbuf();
  utsname name{};
  ::uname(&name);
  Surroundings found = ParseSurroundings(status.str(), name.release);
  // Negative: could not be found out.
  found.has_ring_buffer = libbpf_probe_bpf_map_type(BPF_MAP_TYPE_RINGBUF, nullptr) != 0;
  return found;
}

absl::Status CheckCapabilities(const Surroundings& surroundings, bool enters_pods) {
  if (!surroundings.has_cap_bpf && !surroundings.has_cap_sys_admin) {
    return Missing("CAP_BPF", "loading the capture program");
  }
  if (!surroundings.has_cap_net_raw) {
    return Missing("CAP_NET_RAW", "tapping interfaces");
  }
  if (enters_pods && !surroundings.has_cap_sys_admin) {
    return Missing("CAP_SYS_ADMIN",
                   "entering pods' network namespaces (--pod-netns, --pod-loopback)");
  }
  return absl::OkStatus();
}

absl::Status ExplainLoadFailure(int error, uint32_t ring_bytes, const Surroundings& surroundings) {
  if (absl::Status status = CheckCapabilities(surroundings); !status.ok()) {
    return status;
  }
  if (error == EPERM || error == EACCES) {
    return ExplainPermission(error, surroundings);
  }
  if (error == ENOSYS) {
    return absl::UnavailableError(
        "load capture program: there is no bpf() call: the kernel is built without "
        "CONFIG_BPF_SYSCALL, or a seccomp profile hides it");
  }
  if (error == ENOMEM) {
    return absl::ResourceExhaustedError(absl::StrFormat(
        "load capture program: no memory for its maps and a ring of %d bytes; lower --ring-bytes "
        "or raise the memory limit",
        ring_bytes));
  }
  if (!surroundings.has_ring_buffer) {
    return absl::UnavailableError(
        absl::StrFormat("load capture program: this kernel has no BPF ring buffer (5.8 and newer "
                        "have); %s",
                        Kernel(surroundings)));
  }
  if (IsOlder(surroundings, kLeastKernel)) {
    return absl::UnavailableError(absl::StrFormat("load capture program: %s; %s",
                                                  std::strerror(error), Kernel(surroundings)));
  }
  return absl::ErrnoToStatus(error, "load capture program");
}

}  // namespace podtap::capture
