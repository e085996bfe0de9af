// A directory that looks like /proc to whoever asks for namespaces, starts, groups and commands.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

#include "tests/support/temp_dir.h"

namespace podtap::discovery::proc {

struct FakeProcess {
  uint64_t inode = 0;
  uint64_t start_ticks = 0;
  std::string command = "sleep";
  std::string cgroup = "0::/\n";
};

class FakeProc {
 public:
  static constexpr uint64_t kHost = 1000;

  FakeProc() {
    Put("self", {.inode = kHost});
    Put("1", {.inode = kHost, .command = "init"});
    // What else is there.
    std::filesystem::create_directory(path() + "/sys");
    std::ofstream(path() + "/uptime") << "1 1\n";
  }

  const std::string& path() const { return directory_.path(); }

  // Makes the process, or makes it another one.
  void Put(const std::string& pid, const FakeProcess& process) {
    Remove(pid);
    const std::string folder = path() + "/" + pid;
    std::filesystem::create_directories(folder + "/ns");
    std::filesystem::create_symlink("net:[" + std::to_string(process.inode) + "]",
                                    folder + "/ns/net");
    std::ofstream(folder + "/stat")
        << pid << " (" << process.command << ") S 1 1 1 0 -1 0 0 0 0 0 1 2 0 0 20 0 1 0 "
        << process.start_ticks << " 1 2 3\n";
    std::ofstream(folder + "/comm") << process.command << "\n";
    std::ofstream(folder + "/cgroup") << process.cgroup;
  }
  void Remove(const std::string& pid) { std::filesystem::remove_all(path() + "/" + pid); }
  // Takes away what may not be looked at.
  void Hide(const std::string& pid) { std::filesystem::remove(path() + "/" + pid + "/ns/net"); }

 private:
  TempDir directory_;
};

}  // namespace podtap::discovery::proc
