#include "tests/support/netns.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <thread>

#include "absl/strings/str_format.h"

namespace podtap::testing {

void RunCommand(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::string output;
  std::array<char, 4096> buffer;
  for (size_t n; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;) {
    output.append(buffer.data(), n);
  }
  const int status = ::pclose(pipe);
  ASSERT_EQ(status, 0) << command << "\n" << output;
}

PodNetns::PodNetns(const std::string& name) {
  static std::atomic<int> serial = 0;
  name_ = absl::StrFormat("pt%d-%s", ::getpid(), name);
  host_interface_ = absl::StrFormat("pt%dv%d", ::getpid(), serial++);
  RunCommand(absl::StrFormat("ip netns add %s && ip link add %s type veth peer name eth0 netns %s",
                             name_, host_interface_, name_));
  RunCommand(
      absl::StrFormat("nsenter --net=/run/netns/%s sysctl -qw net.ipv6.conf.eth0.disable_ipv6=1 && "
                      "sysctl -qw net.ipv6.conf.%s.disable_ipv6=1",
                      name_, host_interface_));
  RunCommand(
      absl::StrFormat("nsenter --net=/run/netns/%s ip link set lo up && nsenter "
                      "--net=/run/netns/%s ip link set eth0 up && "
                      "ip link set %s up",
                      name_, name_, host_interface_));
}

PodNetns::~PodNetns() { Remove(); }

void PodNetns::Remove() {
  if (!removed_) {
    removed_ = true;
    RunCommand(absl::StrFormat("ip link del %s; ip netns del %s", host_interface_, name_));
  }
}

uint32_t PodNetns::host_interface_index() const {
  return ::if_nametoindex(host_interface_.c_str());
}

void PodNetns::AddAddresses(const std::string& host, const std::string& pod) {
  const bool v6 = pod.find(':') != std::string::npos;
  if (v6) {
    RunCommand(absl::StrFormat(
        "nsenter --net=/run/netns/%s sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0 && "
        "sysctl -qw net.ipv6.conf.%s.disable_ipv6=0",
        name_, host_interface_));
  }
  const char* options = v6 ? "nodad" : "";
  RunCommand(absl::StrFormat(
      "ip addr add %s dev %s %s && nsenter --net=/run/netns/%s ip addr add %s dev eth0 %s", host,
      host_interface_, options, name_, pod, options));
}

void PodNetns::Inside(const std::function<void()>& body) const {
  std::thread([&] {
    const UniqueFd fd(::open(("/run/netns/" + name_).c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(fd.valid());
    ASSERT_EQ(::setns(fd.get(), CLONE_NEWNET), 0);
    body();
  }).join();
}

}  // namespace podtap::testing
