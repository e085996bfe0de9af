// Questions to /proc about single processes. A process may end at any time, and its id be given to
// another one at once: what belongs together is read between two looks at the time of its start.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace podtap::discovery::proc {

// A process, also over the reuse of its id: no two have both alike.
struct ProcessId {
  pid_t pid = 0;
  // When it was started, in the clock ticks since boot of /proc/PID/stat.
  uint64_t start_ticks = 0;

  friend bool operator==(const ProcessId&, const ProcessId&) = default;
};

// `root` is "/proc", but for tests. Absent when there is no such process.
std::optional<ProcessId> FindProcess(const std::string& root, pid_t pid);

// Inode of the network namespace that `process`, a process id or "self", is in. Absent when it is
// gone or may not be looked at: for processes of others that takes CAP_SYS_PTRACE.
std::optional<uint64_t> NetworkNamespaceOf(const std::string& root, const std::string& process);

// The first 16 KiB of a file; empty when it can't be read.
std::string ReadFile(const std::string& path);
// The same, of a file of the process such as "cgroup".
std::string ReadProcessFile(const std::string& root, pid_t pid, const char* name);

}  // namespace podtap::discovery::proc
