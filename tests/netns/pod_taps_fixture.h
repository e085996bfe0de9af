// What tests of taps inside pods' namespaces have in common.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "agent/discovery/tap_plan.h"
#include "agent/pod_taps.h"
#include "agent/tap_manager.h"
#include "tests/support/netns.h"
#include "tests/support/pods.h"

namespace podtap::testing {

inline std::vector<discovery::PodNamespace> Find(const std::vector<std::string>& names) {
  std::vector<discovery::Pod> pods;
  for (const std::string& name : names) {
    pods.push_back(MakePod(name));
  }
  discovery::Rtnl rtnl = discovery::Rtnl::Open().value();
  // Lets the kernel give ids to the namespaces.
  EXPECT_TRUE(rtnl.Links().ok());
  return FindNamespaces(discovery::Share(pods), rtnl);
}

// A namespace whose only interface is a macvlan over one end of a pair in the host's.
class MacvlanPod {
 public:
  MacvlanPod(const std::string& name, const std::string& address)
      : name_(absl::StrFormat("pt%d-%s", ::getpid(), name)),
        master_(absl::StrFormat("pt%dm", ::getpid())) {
    RunCommand(absl::StrFormat(
        "ip netns add %1$s && ip link add %2$s type veth peer name %2$sp && ip link set %2$s up && "
        "ip link set %2$sp up && ip addr add 10.98.9.1/24 dev %2$sp && "
        "ip link add link %2$s name %2$sv type macvlan mode bridge && "
        "ip link set %2$sv netns %1$s name eth0 && nsenter --net=/run/netns/%1$s sh -c '"
        "ip link set lo up; ip addr add %3$s dev eth0; ip link set eth0 up'",
        name_, master_, address));
  }
  ~MacvlanPod() { RunCommand(absl::StrFormat("ip netns del %s; ip link del %s", name_, master_)); }
  const std::string& name() const { return name_; }

 private:
  const std::string name_;
  const std::string master_;
};

// From inside a named namespace to a port that nobody listens on: a SYN there, a RST back.
inline void AskClosedPort(const std::string& netns, const std::string& address) {
  RunCommand(
      absl::StrFormat("nsenter --net=/run/netns/%s bash -c '! (echo > /dev/tcp/%s/81) 2>/dev/null'",
                      netns, address));
}

// A clock that stands still until it is told.
class ManualClock : public Clock {
 public:
  int64_t MonotonicNs() const override { return now_ns_; }
  int64_t WallNs() const override { return now_ns_; }
  void Pass(int64_t ns) { now_ns_ += ns; }

 private:
  std::atomic<int64_t> now_ns_{1};
};

class PodTapsTest : public ::testing::Test {
 protected:
  PodTapsTest() : program_(capture::CaptureProgram::Load({}).value()) {}

  // The open taps.
  std::vector<std::shared_ptr<const enrichment::TapInfo>> Taps() {
    enrichment::TapTable table;
    directory_.CopyTo(table);
    std::vector<std::shared_ptr<const enrichment::TapInfo>> taps;
    for (const auto& [id, entry] : table.taps) {
      if (!entry.retired) {
        taps.push_back(entry.tap);
      }
    }
    return taps;
  }
  // Interface and pod of each open tap.
  std::vector<std::pair<std::string, std::string>> Names() {
    std::vector<std::pair<std::string, std::string>> names;
    for (const auto& tap : Taps()) {
      EXPECT_EQ(tap->mode, enrichment::CaptureMode::kPodNetns);
      names.emplace_back(tap->interface_name, tap->pod == nullptr ? "" : tap->pod->pod_name);
    }
    return names;
  }
  static discovery::View Look(const std::vector<std::string>& names) {
    discovery::View view;
    discovery::Rtnl rtnl = discovery::Rtnl::Open().value();
    view.pods = Find(names);
    view.taps = PlanTaps(rtnl.Links().value(), view.pods);
    std::erase_if(view.taps, [](const discovery::WantedTap& tap) { return !tap.owner; });
    return view;
  }
  static std::vector<InsideWish> Wishes(const std::vector<discovery::PodNamespace>& pods,
                                        bool pairs_too) {
    std::vector<InsideWish> wishes;
    for (const discovery::PodNamespace& pod : pods) {
      wishes.push_back({.pod = pod, .pairs_too = pairs_too});
    }
    return wishes;
  }
  // Updates, with the pairs, until the next visit is many seconds away.
  static void VisitUntilRare(PodTaps& inside, const std::vector<discovery::PodNamespace>& pods,
                             ManualClock& clock) {
    for (int i = 0; i < 12; ++i) {
      inside.Update(Wishes(pods, true));
      clock.Pass(int64_t{60} * 1'000'000'000);
    }
    inside.Update(Wishes(pods, true));
  }

  const SystemClock clock_;
  capture::CaptureProgram program_;
  enrichment::TapDirectory directory_;
  TapActivity activity_;
  capture::TapSet taps_{program_, [](capture::TapId) {}};
};

}  // namespace podtap::testing
