#include "agent/discovery/tap_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

namespace podtap::discovery {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

Link Veth(uint32_t index, int32_t peer_namespace_id) {
  return {.index = index,
          .name = "veth" + std::to_string(index),
          .kind = "veth",
          .peer_namespace_id = peer_namespace_id};
}

PodNamespace Pod(const std::string& name, int32_t id) {
  return {.pod = std::make_shared<const discovery::Pod>(
              discovery::Pod{.id = name,
                             .identity = {.namespace_name = "netns", .pod_name = name},
                             .namespace_path = "/run/netns/" + name}),
          .device = 4,
          .inode = 1000 + static_cast<uint64_t>(id),
          .namespace_id = id};
}

// Index, namespace id and owner; "-" without one.
using Brief = std::tuple<uint32_t, int32_t, std::string>;

std::vector<Brief> Plan(const std::vector<Link>& links, const std::vector<PodNamespace>& pods) {
  std::vector<Brief> taps;
  for (const WantedTap& tap : PlanTaps(links, pods)) {
    EXPECT_EQ(tap.interface_name, "veth" + std::to_string(tap.interface_index));
    taps.emplace_back(tap.interface_index, tap.namespace_id, tap.owner ? tap.owner->pod->id : "-");
  }
  return taps;
}

TEST(PlanTapsTest, MatchesByThePeersNamespace) {
  EXPECT_THAT(Plan({Veth(16, 3), Veth(14, 2)}, {Pod("web", 3), Pod("api", 2)}),
              ElementsAre(Brief(14, 2, "api"), Brief(16, 3, "web")));
}

TEST(PlanTapsTest, PodWithTwoInterfacesGetsTwoTaps) {
  EXPECT_THAT(Plan({Veth(16, 3), Veth(14, 3)}, {Pod("web", 3)}),
              ElementsAre(Brief(14, 3, "web"), Brief(16, 3, "web")));
}

// Both ends in one namespace: no id, whatever the peer's index happens to be.
TEST(PlanTapsTest, PairWithinTheHostIsLeftAlone) {
  Link link = Veth(17, 0);
  link.peer_namespace_id.reset();
  EXPECT_THAT(Plan({link}, {Pod("web", 0)}), IsEmpty());
}

// A source may come to know the pod; until then the tap has no owner.
TEST(PlanTapsTest, NamespaceThatIsNoPodsIsTappedWithoutAnOwner) {
  EXPECT_THAT(Plan({Veth(14, 5)}, {Pod("web", 3)}), ElementsAre(Brief(14, 5, "-")));
}

// The host's side of a netkit pair sees both directions, as a veth's does.
TEST(PlanTapsTest, NetkitIsTapped) {
  Link link = Veth(14, 3);
  link.kind = "netkit";
  EXPECT_THAT(Plan({link}, {Pod("web", 3)}), ElementsAre(Brief(14, 3, "web")));
}

// The host's side of a macvlan is the node's own uplink: tapping it would take in the whole node.
TEST(PlanTapsTest, OtherKindsAreLeftAlone) {
  for (const char* kind : {"macvlan", "ipvlan", "bridge", "vxlan", ""}) {
    Link link = Veth(2, 3);
    link.kind = kind;
    EXPECT_THAT(Plan({link}, {Pod("web", 3)}), IsEmpty()) << kind;
  }
}

// What is tapped inside a namespace where id 0 stands for the host.
std::vector<std::string> InsideOf(std::vector<Link> links,
                                  std::optional<int32_t> host_id = std::nullopt) {
  std::vector<std::string> names;
  for (Link& link : links) {
    link.name = link.kind + std::to_string(link.index);
  }
  for (const Link& link : PodSideLinks(links, host_id)) {
    names.push_back(link.name);
  }
  return names;
}

TEST(PodSideLinksTest, LoopbackAndTunnelsWithoutEthernetHeadersAreLeftAlone) {
  EXPECT_THAT(InsideOf({{.index = 1, .is_ethernet = false, .is_loopback = true},
                        {.index = 2, .kind = "ipip", .is_ethernet = false},
                        {.index = 3, .kind = "tun"},
                        {.index = 4, .kind = "ifb"},
                        {.index = 5, .kind = "dummy"}}),
              IsEmpty());
}

TEST(LoopbackLinksTest, LoopbackAloneIsChosen) {
  const std::vector<Link> chosen =
      LoopbackLinks({{.index = 2, .kind = "veth"},
                     {.index = 1, .is_ethernet = false, .is_loopback = true},
                     {.index = 3, .kind = "ipip", .is_ethernet = false}});
  ASSERT_EQ(chosen.size(), 1u);
  EXPECT_EQ(chosen[0].index, 1u);
}

TEST(PodSideLinksTest, WhatIsStackedOnADeviceOfTheHostIsTapped) {
  EXPECT_THAT(InsideOf({{.index = 2, .kind = "macvlan", .peer_namespace_id = 0},
                        {.index = 3, .kind = "ipvlan", .peer_namespace_id = 0},
                        {.index = 4, .kind = "vlan", .peer_namespace_id = 0}}),
              ElementsAre("macvlan2", "ipvlan3", "vlan4"));
}

TEST(PodSideLinksTest, DevicesOfTheirOwnAreTapped) {
  // A virtual function has no kind.
  EXPECT_THAT(InsideOf({{.index = 7, .kind = ""}}), ElementsAre("7"));
}

TEST(PodSideLinksTest, OfAStackTheLowestIsTapped) {
  EXPECT_THAT(InsideOf({{.index = 2},
                        {.index = 3, .kind = "vlan", .lower_index = 2},
                        {.index = 4, .kind = "macvlan", .lower_index = 3}}),
              ElementsAre("2"));
}

TEST(PodSideLinksTest, WhatAnOverlayWrapsIsTappedUnwrapped) {
  EXPECT_THAT(InsideOf({{.index = 2}, {.index = 3, .kind = "vxlan", .lower_index = 2}}),
              ElementsAre("2", "vxlan3"));
}

TEST(PodSideLinksTest, PortsAreTappedAndNotWhatTheyArePortsOf) {
  EXPECT_THAT(InsideOf({{.index = 2, .master_index = 4},
                        {.index = 3, .master_index = 4},
                        {.index = 4, .kind = "bond"}}),
              ElementsAre("2", "3"));
}

TEST(PodSideLinksTest, OfPairsOnlyThoseWithTheHostAreTapped) {
  const std::vector<Link> links = {{.index = 2, .kind = "veth", .peer_namespace_id = 0},
                                   {.index = 3, .kind = "netkit", .peer_namespace_id = 0},
                                   {.index = 4, .kind = "veth", .peer_namespace_id = 1},
                                   {.index = 5, .kind = "veth", .lower_index = 6},
                                   {.index = 6, .kind = "veth", .lower_index = 5}};
  EXPECT_THAT(InsideOf(links, 0), ElementsAre("veth2", "netkit3"));
  EXPECT_THAT(InsideOf(links), IsEmpty());
}

}  // namespace
}  // namespace podtap::discovery
