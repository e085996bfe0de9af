#include "agent/discovery/tap_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace podtap::discovery {
namespace {

using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;

Link Veth(uint32_t index, int32_t peer_namespace_id) {
  return {.index = index,
          .name = "veth" + std::to_string(index),
          .kind = "veth",
          .peer_namespace_id = peer_namespace_id};
}

PodNamespace Pod(const std::string& name, int32_t id) {
  return {.pod = {.id = name,
                  .identity = {.namespace_name = "netns", .pod_name = name},
                  .namespace_path = "/run/netns/" + name},
          .device = 4,
          .inode = 1000 + static_cast<uint64_t>(id),
          .namespace_id = id};
}

TEST(PlanTapsTest, MatchesByThePeersNamespace) {
  EXPECT_THAT(PlanTaps({Veth(14, 2), Veth(16, 3)}, {Pod("web", 3), Pod("api", 2)}),
              ElementsAre(WantedTap{.interface_index = 14,
                                    .interface_name = "veth14",
                                    .pod = {.namespace_name = "netns", .pod_name = "api"},
                                    .pod_id = "api",
                                    .namespace_inode = 1002},
                          WantedTap{.interface_index = 16,
                                    .interface_name = "veth16",
                                    .pod = {.namespace_name = "netns", .pod_name = "web"},
                                    .pod_id = "web",
                                    .namespace_inode = 1003}));
}

TEST(PlanTapsTest, PodWithTwoInterfacesGetsTwoTaps) {
  EXPECT_THAT(
      PlanTaps({Veth(16, 3), Veth(14, 3)}, {Pod("web", 3)}),
      ElementsAre(Field(&WantedTap::interface_index, 14), Field(&WantedTap::interface_index, 16)));
}

// Both ends in one namespace: no id, whatever the peer's index happens to be.
TEST(PlanTapsTest, PairWithinTheHostIsLeftAlone) {
  Link link = Veth(17, 0);
  link.peer_namespace_id.reset();
  EXPECT_THAT(PlanTaps({link}, {Pod("web", 0)}), IsEmpty());
}

TEST(PlanTapsTest, NamespaceThatIsNoPodsIsLeftAlone) {
  EXPECT_THAT(PlanTaps({Veth(14, 5)}, {Pod("web", 3)}), IsEmpty());
}

// The host's side of a macvlan is the node's own uplink: tapping it would take in the whole node.
TEST(PlanTapsTest, OtherKindsAreLeftAlone) {
  for (const char* kind : {"macvlan", "ipvlan", "bridge", "vxlan", ""}) {
    Link link = Veth(2, 3);
    link.kind = kind;
    EXPECT_THAT(PlanTaps({link}, {Pod("web", 3)}), IsEmpty()) << kind;
  }
}

}  // namespace
}  // namespace podtap::discovery
