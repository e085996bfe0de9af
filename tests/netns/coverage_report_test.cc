// Coverage as the agent gathers it, with real taps: a pod that is listed has a state, whatever
// becomes of its interfaces.
#include "agent/coverage_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "tests/support/netns.h"
#include "tests/support/pods.h"

namespace podtap::testing {
namespace {

using discovery::Pod;
using discovery::Rtnl;
using discovery::UntappedPod;
using discovery::View;
using discovery::WantedTap;
using ::testing::HasSubstr;

// While it lives no descriptor can be opened.
class NoMoreDescriptors {
 public:
  NoMoreDescriptors() {
    EXPECT_EQ(::getrlimit(RLIMIT_NOFILE, &before_), 0);
    const rlimit none = {.rlim_cur = 0, .rlim_max = before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~NoMoreDescriptors() { EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before_), 0); }
  NoMoreDescriptors(const NoMoreDescriptors&) = delete;
  NoMoreDescriptors& operator=(const NoMoreDescriptors&) = delete;

 private:
  rlimit before_{};
};

class CoverageReportTest : public ::testing::Test {
 protected:
  // The pod's interface as a look finds it.
  static WantedTap Wanted(const PodNetns& netns) {
    Rtnl rtnl = Rtnl::Open().value();
    const discovery::Link link = rtnl.FindLink(netns.host_interface_index()).value().value();
    return {.interface_index = link.index,
            .interface_name = link.name,
            .namespace_id = link.peer_namespace_id.value(),
            .owner = FindNamespaces(discovery::Share({MakePod(netns.name())}), rtnl).at(0)};
  }
  v1::AgentStatus Status() {
    v1::AgentStatus status;
    report_.AddTo(status, taps_.ReadAll().value());
    return status;
  }
  // Of the one pod that there is.
  v1::PodCoverage Only() {
    const v1::AgentStatus status = Status();
    EXPECT_EQ(status.pods_size(), 1);
    return status.pods_size() == 1 ? status.pods(0) : v1::PodCoverage();
  }

  const SystemClock clock_;
  capture::CaptureProgram program_ = capture::CaptureProgram::Load({}).value();
  enrichment::TapDirectory directory_;
  capture::TapSet taps_{program_, [](capture::TapId) {}};
  TapActivity activity_;
  TapManager manager_{taps_, directory_, activity_, program_, Rtnl::Open().value(), clock_};
  CoverageReport report_{directory_, activity_, manager_, clock_};
};

TEST_F(CoverageReportTest, ATappedPodHasItsInterfaceUntilItIsNotListed) {
  const PodNetns pod("listed");
  manager_.OnView({.taps = {Wanted(pod)}});
  const v1::PodCoverage coverage = Only();
  EXPECT_EQ(coverage.state(), v1::COVERAGE_STATE_NO_HTTP_SEEN);
  ASSERT_EQ(coverage.interfaces_size(), 1);
  EXPECT_EQ(coverage.interfaces(0).name(), pod.host_interface());
  EXPECT_EQ(coverage.interfaces(0).index(), pod.host_interface_index());
  EXPECT_TRUE(coverage.interfaces(0).has_open_time());
  manager_.OnView({});
  EXPECT_EQ(Status().pods_size(), 0);
}

TEST_F(CoverageReportTest, ATapThatWasOpenedAfterTheCountersWereReadIsOne) {
  const PodNetns pod("since");
  const capture::AllCounters before = taps_.ReadAll().value();
  manager_.OnView({.taps = {Wanted(pod)}});
  v1::AgentStatus status;
  report_.AddTo(status, before);
  ASSERT_EQ(status.pods_size(), 1);
  EXPECT_EQ(status.pods(0).state(), v1::COVERAGE_STATE_NO_HTTP_SEEN);
  EXPECT_EQ(status.pods(0).interfaces_size(), 1);
}

TEST_F(CoverageReportTest, ATapThatCanNotBeOpenedIsSaidInTheKernelsWords) {
  const PodNetns pod("failing");
  const View view = {.taps = {Wanted(pod)}};
  {
    const NoMoreDescriptors none;
    manager_.OnView(view);
  }
  const v1::PodCoverage coverage = Only();
  EXPECT_EQ(coverage.state(), v1::COVERAGE_STATE_FAILED);
  EXPECT_THAT(coverage.reason(), HasSubstr(pod.host_interface()));
  EXPECT_THAT(coverage.reason(), HasSubstr("Too many open files"));
  EXPECT_EQ(coverage.interfaces_size(), 0);
  // Tried again.
  manager_.OnView(view);
  EXPECT_EQ(Only().state(), v1::COVERAGE_STATE_NO_HTTP_SEEN);
}

TEST_F(CoverageReportTest, AnInterfaceThatDoesNotProveToBeThePodsIsSaid) {
  const PodNetns pod("moved");
  WantedTap wanted = Wanted(pod);
  ++wanted.owner->inode;
  manager_.OnView({.taps = {wanted}});
  const v1::PodCoverage coverage = Only();
  EXPECT_EQ(coverage.state(), v1::COVERAGE_STATE_FAILED);
  EXPECT_THAT(coverage.reason(), HasSubstr("prove"));
}

TEST_F(CoverageReportTest, AnInterfaceThatWentDuringTheLookIsNone) {
  std::optional<PodNetns> pod(std::in_place, "gone");
  const WantedTap wanted = Wanted(*pod);
  pod.reset();
  manager_.OnView({.taps = {wanted}});
  EXPECT_EQ(Only().state(), v1::COVERAGE_STATE_NO_HOST_INTERFACE);
}

TEST_F(CoverageReportTest, AnInterfaceOfAPodThatIsLeftOutIsNotMissed) {
  const PodNetns pod("excluded");
  WantedTap wanted = Wanted(pod);
  ChangePod(*wanted.owner, [](Pod& changed) { changed.excluded_because = "because"; });
  manager_.OnView({.taps = {wanted},
                   .untapped = {{.identity = wanted.owner->pod->identity,
                                 .reason = UntappedPod::Reason::kExcluded,
                                 .exclusion = "because"}}});
  const v1::PodCoverage coverage = Only();
  EXPECT_EQ(coverage.state(), v1::COVERAGE_STATE_EXCLUDED);
  EXPECT_THAT(coverage.reason(), HasSubstr("because"));
}

TEST_F(CoverageReportTest, PodsBeyondTheBoundAreCounted) {
  View view;
  for (int i = 0; i < 1030; ++i) {
    view.untapped.push_back(
        {.identity = {.namespace_name = "shop", .pod_name = absl::StrFormat("web-%04d", i)},
         .reason = UntappedPod::Reason::kHostNetwork});
  }
  manager_.OnView(view);
  const v1::AgentStatus status = Status();
  ASSERT_EQ(status.pods_size(), 1024);
  EXPECT_EQ(status.pods(1023).pod_name(), "web-1023");
  ASSERT_EQ(status.ledger_size(), 1);
  EXPECT_EQ(status.ledger(0).name(), "pods_not_reported");
  EXPECT_EQ(status.ledger(0).count(), 6u);
}

TEST_F(CoverageReportTest, WhatIsFrozenOutlivesTheTaps) {
  const PodNetns pod("frozen");
  manager_.OnView({.taps = {Wanted(pod)}});
  report_.Freeze(taps_.ReadAll().value());
  taps_.CloseAll();
  EXPECT_EQ(Only().interfaces_size(), 1);
}

TEST_F(CoverageReportTest, InterfacesBeyondTheBoundAreTappedAndNotListed) {
  const PodNetns pod("many");
  View view = {.taps = {Wanted(pod)}};
  Rtnl rtnl = Rtnl::Open().value();
  for (int i = 0; i < 40; ++i) {
    const std::string name = absl::StrFormat("%sx%d", pod.host_interface().substr(0, 12), i);
    RunCommand(
        absl::StrFormat("ip link add %s type veth peer name more%d netns %s", name, i, pod.name()));
    const std::vector<discovery::Link> links = rtnl.Links().value();
    for (const discovery::Link& link : links) {
      if (link.name == name) {
        WantedTap more = view.taps[0];
        more.interface_index = link.index;
        more.interface_name = name;
        view.taps.push_back(more);
      }
    }
  }
  ASSERT_EQ(view.taps.size(), 41u);
  manager_.OnView(view);
  EXPECT_EQ(taps_.open_count(), 41u);
  const v1::PodCoverage coverage = Only();
  ASSERT_EQ(coverage.interfaces_size(), 32);
  EXPECT_EQ(coverage.interfaces(0).index(), pod.host_interface_index());
}

}  // namespace
}  // namespace podtap::testing
