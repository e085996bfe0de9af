#include "tests/support/netns.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_link.h>
#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <thread>

#include "absl/strings/str_format.h"

namespace podtap::testing {
namespace {

constexpr uint32_t kBigTcpBytes = 185'000;
// IFLA_GSO_IPV4_MAX_SIZE and IFLA_GRO_IPV4_MAX_SIZE, which Linux 6.1's headers lack.
constexpr uint16_t kBigTcpAttributes[] = {IFLA_GSO_MAX_SIZE, IFLA_GRO_MAX_SIZE, 63, 64};

// In the calling thread's namespace. iproute2 of Debian 12 does not know the IPv4 ones.
bool SetBigTcp(const std::string& interface_name) {
  struct {
    nlmsghdr header;
    ifinfomsg link;
    struct {
      rtattr header;
      uint32_t value;
    } attributes[std::size(kBigTcpAttributes)];
  } request{};
  request.header.nlmsg_len = sizeof(request);
  request.header.nlmsg_type = RTM_NEWLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
  request.link.ifi_index = static_cast<int>(::if_nametoindex(interface_name.c_str()));
  for (size_t i = 0; i < std::size(kBigTcpAttributes); ++i) {
    request.attributes[i].header = {.rta_len = sizeof(request.attributes[i]),
                                    .rta_type = kBigTcpAttributes[i]};
    request.attributes[i].value = kBigTcpBytes;
  }
  struct {
    nlmsghdr header;
    nlmsgerr error;
    char rest[1024];
  } answer{};
  const UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  return ::send(fd.get(), &request, sizeof(request), 0) == sizeof(request) &&
         ::recv(fd.get(), &answer, sizeof(answer), 0) >=
             static_cast<ssize_t>(sizeof(answer.header) + sizeof(answer.error)) &&
         answer.header.nlmsg_type == NLMSG_ERROR && answer.error.error == 0;
}

}  // namespace

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

void SendFrame(const std::string& interface_name, const std::vector<uint8_t>& frame) {
  const UniqueFd fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_ifindex = static_cast<int>(::if_nametoindex(interface_name.c_str()));
  ASSERT_EQ(::sendto(fd.get(), frame.data(), frame.size(), 0,
                     reinterpret_cast<const sockaddr*>(&address), sizeof(address)),
            static_cast<ssize_t>(frame.size()))
      << std::strerror(errno);
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

bool PodNetns::AllowBigTcp() const {
  bool inside = false;
  Inside([&] { inside = SetBigTcp("eth0"); });
  return inside && SetBigTcp(host_interface_);
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
