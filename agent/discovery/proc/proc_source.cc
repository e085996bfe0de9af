#include "agent/discovery/proc/proc_source.h"

#include <dirent.h>
#include <linux/capability.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <tuple>

#include "common/status.h"
#include "common/text.h"

namespace podtap::discovery::proc {
namespace {

// A little less than the pause between two looks when nothing happens.
constexpr int64_t kLookAtAllNs = int64_t{4'500} * 1'000'000;
// A process that is older has long got the namespace and the groups that it was started for.
constexpr int64_t kYoungNs = int64_t{10'000} * 1'000'000;
// What engines show of the id of a container.
constexpr size_t kShortIdSize = 12;
constexpr size_t kMaxName = 253;

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// The process id that a name in /proc is; 0 for other names.
pid_t ToPid(const char* name) {
  pid_t pid = 0;
  const char* const end = name + std::strlen(name);
  const auto result = std::from_chars(name, end, pid);
  return result.ec == std::errc() && result.ptr == end && pid > 0 ? pid : 0;
}

}  // namespace

absl::Status CheckAccess(const std::string& root) {
  const std::string status = ReadFile(root + "/self/status");
  constexpr std::string_view kField = "\nCapEff:\t";
  const size_t at = status.find(kField);
  uint64_t capabilities = 0;
  if (at == std::string::npos || std::from_chars(status.data() + at + kField.size(),
                                                 status.data() + status.size(), capabilities, 16)
                                         .ec != std::errc()) {
    return absl::UnavailableError(
        absl::StrFormat("the processes of this machine can't be looked at: no %s", root));
  }
  if ((capabilities >> CAP_SYS_PTRACE & 1) == 0) {
    return absl::PermissionDeniedError(
        "CAP_SYS_PTRACE is missing: looking at the network namespaces of other processes needs it; "
        "run as root or grant it (setpriv --bounding-set, securityContext.capabilities.add, "
        "AmbientCapabilities=)");
  }
  return absl::OkStatus();
}

bool SeesHostProcesses() {
  // The kernel's number for the first namespace of process ids.
  constexpr ino_t kFirst = 0xEFFFFFFC;
  struct stat status {};
  return ::stat("/proc/self/ns/pid", &status) == 0 && status.st_ino == kFirst;
}

absl::StatusOr<PodList> ProcSource::List() {
  const int64_t now_ns = clock_.MonotonicNs();
  PodList list;
  PODTAP_ASSIGN_OR_RETURN(list.left_out, Scan(now_ns));
  for (const auto& [inode, members] : Group()) {
    if (list.pods.size() == options_.max_namespaces) {
      ++list.left_out;
      continue;
    }
    if (!Update(inode, members, now_ns)) {
      continue;
    }
    const Namespace& space = namespaces_[inode];
    const pid_t pid = space.process.pid;
    list.pods.push_back({.id = absl::StrFormat("proc/%d", space.serial),
                         .identity = Identity(space.name),
                         .namespace_path = absl::StrFormat("%s/%d/ns/net", options_.root, pid),
                         .holder = NamespaceHolder{.process = space.process, .inode = inode}});
  }
  std::erase_if(namespaces_, [&](const auto& item) { return item.second.round != round_; });
  return list;
}

absl::StatusOr<uint64_t> ProcSource::Scan(int64_t now_ns) {
  const std::unique_ptr<DIR, DirectoryCloser> open(::opendir(options_.root.c_str()));
  if (open == nullptr) {
    return ErrnoStatus(errno, "list %s", options_.root);
  }
  ++round_;
  own_inode_ = NetworkNamespaceOf(options_.root, "self").value_or(0);
  const bool all = round_ == 1 || now_ns - looked_at_all_ns_ >= kLookAtAllNs;
  if (all) {
    looked_at_all_ns_ = now_ns;
  }
  uint64_t left_out = 0;
  while (const dirent* entry = ::readdir(open.get())) {
    const pid_t pid = ToPid(entry->d_name);
    if (pid == 0) {
      continue;
    }
    auto found = seen_.find(pid);
    const bool is_new = found == seen_.end();
    if (is_new) {
      if (seen_.size() >= options_.max_processes) {
        ++left_out;
        continue;
      }
      found = seen_.emplace(pid, Seen{.since_ns = now_ns}).first;
    }
    Seen& seen = found->second;
    seen.round = round_;
    if (is_new || all || now_ns - seen.since_ns < kYoungNs) {
      Look(pid, seen);
    }
  }
  std::erase_if(seen_, [&](const auto& item) { return item.second.round != round_; });
  return left_out;
}

void ProcSource::Look(pid_t pid, Seen& seen) {
  uint64_t inode = NetworkNamespaceOf(options_.root, std::to_string(pid)).value_or(0);
  if (inode == own_inode_) {
    inode = 0;
  }
  if (inode != seen.inode) {
    const std::optional<ProcessId> process = FindProcess(options_.root, pid);
    seen.inode = process ? inode : 0;
    seen.start_ticks = process ? process->start_ticks : 0;
    seen.serial = 0;
  }
}

std::map<uint64_t, ProcSource::Members> ProcSource::Group() const {
  std::map<uint64_t, Members> groups;
  for (const auto& [pid, seen] : seen_) {
    if (seen.inode != 0) {
      groups[seen.inode].push_back({.pid = pid, .start_ticks = seen.start_ticks});
    }
  }
  for (auto& [inode, members] : groups) {
    std::sort(members.begin(), members.end(), [](const ProcessId& a, const ProcessId& b) {
      return std::tie(a.start_ticks, a.pid) < std::tie(b.start_ticks, b.pid);
    });
  }
  return groups;
}

bool ProcSource::Update(uint64_t inode, const Members& members, int64_t now_ns) {
  Namespace& space = namespaces_[inode];
  // One that has been in it all the time proves that it is the same one still.
  std::optional<ProcessId> oldest;
  if (space.serial != 0) {
    oldest = FindAlive(members, inode, space.serial);
  }
  if (!oldest) {
    oldest = FindAlive(members, inode, 0);
    if (!oldest) {
      return false;
    }
    space = {.serial = ++last_serial_, .since_ns = now_ns};
  }
  space.process = *oldest;
  space.round = round_;
  for (const ProcessId& process : members) {
    if (Seen& seen = seen_[process.pid]; seen.inode == inode) {
      seen.serial = space.serial;
    }
  }
  if (space.name.family.empty()) {
    NameBy(*oldest, space);
  } else if (!space.name.is_container() && now_ns - space.since_ns < kYoungNs &&
             space.name_giver == *oldest) {
    // It may yet run the program it was started for, or be put into its group.
    NameBy(*oldest, space);
  }
  return !space.name.family.empty();
}

std::optional<ProcessId> ProcSource::FindAlive(const Members& members, uint64_t inode,
                                               uint64_t serial) {
  for (const ProcessId& process : members) {
    Seen& seen = seen_[process.pid];
    if (seen.serial != serial || seen.inode == 0) {
      continue;
    }
    if (IsIn(process, inode)) {
      return process;
    }
    // Looked at anew with the next list.
    seen = {.since_ns = clock_.MonotonicNs(), .round = round_};
  }
  return std::nullopt;
}

bool ProcSource::IsIn(const ProcessId& process, uint64_t inode) const {
  return NetworkNamespaceOf(options_.root, std::to_string(process.pid)) == inode &&
         FindProcess(options_.root, process.pid) == process;
}

void ProcSource::NameBy(const ProcessId& process, Namespace& space) const {
  CgroupName name = NameFromCgroup(ReadProcessFile(options_.root, process.pid, "cgroup"));
  if (name.family.empty()) {
    std::string command = ReadProcessFile(options_.root, process.pid, "comm");
    if (!command.empty() && command.back() == '\n') {
      command.pop_back();
    }
    name = {.family = "process", .name = std::move(command)};
  }
  // Else it may have been another process's.
  if (!name.name.empty() && FindProcess(options_.root, process.pid) == process) {
    space.name = std::move(name);
    space.name_giver = process;
  }
}

PodIdentity ProcSource::Identity(const CgroupName& name) const {
  const bool is_container = name.is_container();
  PodIdentity identity{
      .namespace_name = name.family,
      .pod_name = SafeText(is_container ? name.name.substr(0, kShortIdSize) : name.name, kMaxName)};
  if (is_container && engines_ != nullptr) {
    if (std::optional<Container> container = engines_->Find(name.name)) {
      identity.containers.push_back(*std::move(container));
    }
  }
  return identity;
}

}  // namespace podtap::discovery::proc
