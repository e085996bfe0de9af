// What a process belongs to, told from the paths of its control groups: container engines and
// systemd put the id or the name of what they run there. Pure.
#pragma once

#include <string>
#include <string_view>

namespace podtap::discovery::proc {

// Both texts are as they were found: to be made safe before they leave the node.
struct CgroupName {
  // Who runs it: "docker", "podman", "containerd", "crio", "container" (an engine that can't be
  // told), "machine" or "systemd". Empty when the paths tell nothing.
  std::string family;
  // Id of a container (64 hex digits), name of a machine, or name of a service with ".service".
  std::string name;

  bool is_container() const;

  friend bool operator==(const CgroupName&, const CgroupName&) = default;
};

// From the text of /proc/PID/cgroup, of version 1, 2 or both. Of nested ones the innermost
// container or machine counts; a service only where there is neither.
CgroupName NameFromCgroup(std::string_view text);

}  // namespace podtap::discovery::proc
