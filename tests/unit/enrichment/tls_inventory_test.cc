#include "agent/enrichment/tls_inventory.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "tests/unit/enrichment/exchange_builder.h"

namespace podtap::enrichment {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

tls::Handshake To(const std::string& name, tls::Version version = tls::Version::kTls13) {
  tls::Handshake handshake;
  handshake.server_name = name;
  handshake.version = version;
  handshake.offered_protocols = {"h2"};
  return handshake;
}

std::map<std::string, uint64_t> Counts(const TlsInventory& inventory) {
  std::map<std::string, uint64_t> counts;
  inventory.Visit(
      [&](const CounterValue& value) { counts[std::string(value.name)] = value.count; });
  return counts;
}

class TlsInventoryTest : public ::testing::Test {
 protected:
  capture::TapId Open(uint32_t slot, const std::string& pod) {
    const auto tap = MakeTap(slot, pod);
    directory_.Publish(tap);
    return tap->id;
  }
  TapDirectory directory_;
};

TEST_F(TlsInventoryTest, ConnectionsThatAreAlikeAreOneEntry) {
  TlsInventory inventory(directory_);
  const capture::TapId web = Open(1, "web");
  const capture::TapId api = Open(2, "api");
  inventory.OnHandshake(web, true, To("a"));
  inventory.OnHandshake(web, true, To("a"));
  inventory.OnHandshake(web, false, To("a"));
  inventory.OnHandshake(web, true, To("a", tls::Version::kTls12));
  inventory.OnHandshake(web, true, To("b"));
  inventory.OnHandshake(api, true, To("a"));
  const std::vector<TlsUse> uses = inventory.List();
  ASSERT_EQ(uses.size(), 5u);
  EXPECT_EQ(uses[0].pod->pod_name, "api");
  EXPECT_EQ(uses[1].pod->pod_name, "web");
  EXPECT_EQ(uses[2].connections, 2u);
  EXPECT_EQ(uses[2].reporter, Reporter::kClient);
  EXPECT_EQ(uses[2].handshake, To("a"));
  EXPECT_EQ(uses[4].reporter, Reporter::kServer);
  EXPECT_EQ(Counts(inventory)["tls_uses"], 5u);
}

TEST_F(TlsInventoryTest, InterfacesOfAPodAreListedTogether) {
  TlsInventory inventory(directory_);
  inventory.OnHandshake(Open(1, "web"), true, To("a"));
  inventory.OnHandshake(Open(2, "web"), true, To("a"));
  ASSERT_EQ(inventory.List().size(), 1u);
  EXPECT_EQ(inventory.List()[0].connections, 2u);
}

// Which end of it counts as the pod's own says nothing.
TEST_F(TlsInventoryTest, WhatStaysInAPodIsServedByIt) {
  TlsInventory inventory(directory_);
  const auto tap = MakeTap(1, "web", CaptureMode::kPodLoopback);
  directory_.Publish(tap);
  inventory.OnHandshake(tap->id, true, To("a"));
  inventory.OnHandshake(tap->id, false, To("a"));
  ASSERT_EQ(inventory.List().size(), 1u);
  EXPECT_EQ(inventory.List()[0].reporter, Reporter::kServer);
  EXPECT_EQ(inventory.List()[0].connections, 2u);
}

TEST_F(TlsInventoryTest, OnePodDoesNotFillItAndWhatFindsNoRoomIsCounted) {
  TlsInventory inventory(directory_, {.max_uses = 5, .max_uses_per_tap = 3});
  const capture::TapId noisy = Open(1, "noisy");
  for (int i = 0; i < 10; ++i) {
    inventory.OnHandshake(noisy, true, To(std::to_string(i)));
  }
  inventory.OnHandshake(noisy, true, To("0"));
  EXPECT_EQ(Counts(inventory)["tls_uses"], 3u);
  EXPECT_EQ(Counts(inventory)["tls_uses_refused"], 7u);
  const capture::TapId quiet = Open(2, "quiet");
  for (int i = 0; i < 3; ++i) {
    inventory.OnHandshake(quiet, true, To(std::to_string(i)));
  }
  EXPECT_EQ(Counts(inventory)["tls_uses"], 5u);
  EXPECT_EQ(Counts(inventory)["tls_uses_refused"], 8u);
}

TEST_F(TlsInventoryTest, PodsThatAreGoneMakeRoom) {
  TlsInventory inventory(directory_, {.max_uses = 2, .max_uses_per_tap = 2});
  const capture::TapId old_pod = Open(1, "old");
  inventory.OnHandshake(old_pod, true, To("a"));
  inventory.OnHandshake(old_pod, true, To("b"));
  directory_.Retire(old_pod, 0);
  EXPECT_EQ(inventory.List().size(), 2u) << "known for a while";
  directory_.Expire(61 * kSecond);
  inventory.OnHandshake(Open(2, "new"), true, To("a"));
  const std::vector<TlsUse> uses = inventory.List();
  ASSERT_EQ(uses.size(), 1u);
  EXPECT_EQ(uses[0].pod->pod_name, "new");
  EXPECT_EQ(Counts(inventory)["tls_uses_refused"], 0u);
}

}  // namespace
}  // namespace podtap::enrichment
