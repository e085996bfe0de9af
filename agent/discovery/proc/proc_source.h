// Pod source `proc`: every network namespace of a running process but the host's own. Serves
// containers that no Kubernetes runtime knows, and processes that were put into a namespace that
// has no name.
//
// A pod is named by the container, machine or service that its oldest process belongs to, else by
// that process's command. Needs the host's process ids and permission to look at the links of other
// processes (CAP_SYS_PTRACE).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "agent/discovery/pod_source.h"
#include "agent/discovery/proc/cgroup_name.h"
#include "agent/discovery/proc/engine_names.h"
#include "agent/discovery/proc/proc_files.h"
#include "common/clock.h"

namespace podtap::discovery::proc {

struct ProcSourceOptions {
  std::string root = "/proc";
  // Beyond these, processes are not looked at and namespaces not listed; both are counted as left
  // out.
  size_t max_processes = 65'536;
  size_t max_namespaces = 1024;
};

// kPermissionDenied, with what to grant, when the namespaces of other processes can't be seen.
absl::Status CheckAccess(const std::string& root = "/proc");
// False in a namespace of process ids below the host's, where only processes of that one are seen.
bool SeesHostProcesses();

// Each list looks at processes that are new or young: those may be about to change their namespace.
// All are looked at every five seconds. Reads /proc and waits for nobody; engines are asked for the
// names of containers on a thread of their own.
class ProcSource : public PodSource {
 public:
  // The clock outlives the source. Without `engines` containers have no names beside their ids.
  explicit ProcSource(const Clock& clock, ProcSourceOptions options = {},
                      std::unique_ptr<EngineNames> engines = nullptr)
      : clock_(clock), options_(std::move(options)), engines_(std::move(engines)) {}

  absl::StatusOr<PodList> List() override;

 private:
  struct Seen {
    // 0 when it is the host's, or can't be told.
    uint64_t inode = 0;
    // Of the namespace that it was last found in.
    uint64_t start_ticks = 0;
    uint64_t serial = 0;
    int64_t since_ns = 0;
    uint64_t round = 0;
  };
  // A namespace. The same inode after all its processes are gone is another one.
  struct Namespace {
    // Never given twice.
    uint64_t serial = 0;
    int64_t since_ns = 0;
    uint64_t round = 0;
    // Alive, and in the namespace, when last looked at. The oldest.
    ProcessId process;
    // The one that it is named by.
    ProcessId name_giver;
    CgroupName name;
  };
  using Members = std::vector<ProcessId>;

  // Looks at processes; says how many were left out.
  absl::StatusOr<uint64_t> Scan(int64_t now_ns);
  void Look(pid_t pid, Seen& seen);
  // The processes of each namespace, the oldest first.
  std::map<uint64_t, Members> Group() const;
  // Finds out who stands for the namespace; false when nobody lives there any more.
  bool Update(uint64_t inode, const Members& members, int64_t now_ns);
  // The oldest that lives in the namespace, of those that were found in the one of this serial; 0
  // for those that are new to it.
  std::optional<ProcessId> FindAlive(const Members& members, uint64_t inode, uint64_t serial);
  bool IsIn(const ProcessId& process, uint64_t inode) const;
  void NameBy(const ProcessId& process, Namespace& space) const;
  PodIdentity Identity(const CgroupName& name) const;

  const Clock& clock_;
  const ProcSourceOptions options_;
  const std::unique_ptr<EngineNames> engines_;
  std::unordered_map<pid_t, Seen> seen_;
  // By inode.
  std::map<uint64_t, Namespace> namespaces_;
  uint64_t own_inode_ = 0;
  uint64_t round_ = 0;
  uint64_t last_serial_ = 0;
  // When all processes were looked at.
  int64_t looked_at_all_ns_ = 0;
};

}  // namespace podtap::discovery::proc
