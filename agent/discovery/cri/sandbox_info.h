// What a runtime tells of a sandbox beyond the interface: JSON of its own making. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace podtap::discovery::cri {

// Absent parts are empty.
struct SandboxInfo {
  // runtimeSpec.linux.namespaces[type=network].path: containerd and CRI-O.
  std::string spec_path;
  // sandboxMetadata.Metadata.NetNSPath: containerd 2.
  std::string metadata_path;
  // pid: the sandbox's first process; 0 when it has none.
  int64_t pid = 0;

  // A file that stands for the sandbox's network namespace: the first of the above that is a usable
  // one. Empty when there is none.
  std::string NamespacePath() const;
};

// Reads the three places and nothing else: labels, annotations and commands in the same text are
// the pod author's. Stops at more than 1 MiB, at a depth of more than 64 and at the first mistake;
// what was found up to there counts.
SandboxInfo ParseSandboxInfo(std::string_view json);

}  // namespace podtap::discovery::cri
