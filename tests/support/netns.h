// Network namespaces and veth pairs for tests. Everything made is removed when its owner goes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "common/unique_fd.h"
#include "tests/support/needs_root.h"

namespace podtap::testing {

// Runs a command through the shell; a failure fails the running test and is shown with its output.
void RunCommand(const std::string& command);

// Puts a frame, Ethernet header first, on an interface of the calling thread's namespace.
void SendFrame(const std::string& interface_name, const std::vector<uint8_t>& frame);

// A named network namespace under /run/netns with one veth: `eth0` inside, `host_interface()`
// outside, both up, offloads as the kernel sets them. IPv6 address detection noise is off until
// addresses are given.
class PodNetns {
 public:
  // `name` becomes "pt<pid>-name", so that parallel runs don't meet.
  explicit PodNetns(const std::string& name);
  ~PodNetns();
  PodNetns(const PodNetns&) = delete;
  PodNetns& operator=(const PodNetns&) = delete;

  const std::string& name() const { return name_; }
  const std::string& host_interface() const { return host_interface_; }
  uint32_t host_interface_index() const;
  // Assigns `pod` to eth0 and `host` to the host's side, e.g. "10.98.0.2/24". IPv4 or IPv6.
  void AddAddresses(const std::string& host, const std::string& pod);
  // Lets the stack make segments of more than 64 KiB on both ends ("BIG TCP"). False on a kernel
  // that can't, which is one before 6.3 for IPv4.
  bool AllowBigTcp() const;
  // Runs `body` on a thread of its own inside the namespace and waits for it.
  void Inside(const std::function<void()>& body) const;
  // Takes the namespace and its interfaces away now.
  void Remove();
  // The test has taken it away itself.
  void Forget() { removed_ = true; }

 private:
  std::string name_;
  std::string host_interface_;
  bool removed_ = false;
};

}  // namespace podtap::testing
