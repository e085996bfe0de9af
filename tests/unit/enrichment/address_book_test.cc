#include "agent/enrichment/address_book.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/enrichment/exchange_builder.h"

namespace podtap::enrichment {
namespace {

constexpr capture::TapId kWebTap{.slot = 1, .generation = 1};
constexpr capture::TapId kApiTap{.slot = 2, .generation = 1};
constexpr capture::TapId kWebTap2{.slot = 3, .generation = 1};

class AddressBookTest : public testing::Test {
 protected:
  AddressBookTest() {
    directory_.Publish(MakeTap(1, "web"));
    directory_.Publish(MakeTap(2, "api"));
    directory_.Publish(MakeTap(3, "web"));
  }

  // "pod RESOLVED", "pod STALE" or "nobody".
  std::string Owner(const std::string& ip, int64_t at_ns = 1000) {
    const AddressOwner owner = book_.Find(Ip(ip), at_ns);
    if (owner.pod == nullptr) {
      EXPECT_EQ(owner.state, MetadataState::kUnresolved);
      return "nobody";
    }
    return owner.pod->pod_name + (owner.state == MetadataState::kResolved ? " RESOLVED" : " STALE");
  }
  uint64_t Count(std::string_view name) const {
    uint64_t count = 0;
    book_.Visit([&](const CounterValue& value) { count += value.name == name ? value.count : 0; });
    return count;
  }
  void CloseAndForget(const capture::TapId& tap) {
    directory_.Retire(tap, 0);
    directory_.Expire(int64_t{1} << 60);
  }

  TapDirectory directory_;
  TapReader taps_{directory_};
  AddressBook book_{directory_,
                    {.max_addresses = 4, .max_addresses_per_tap = 3, .max_claims_per_address = 2}};
};

TEST_F(AddressBookTest, LearnsFromSources) {
  EXPECT_EQ(Owner("10.0.0.1"), "nobody");
  book_.Learn(kWebTap, Ip("10.0.0.1"));
  book_.Learn(kWebTap, Ip("fd00::1"));
  book_.Learn(kApiTap, Ip("10.0.0.2"));
  EXPECT_EQ(Owner("10.0.0.1"), "web RESOLVED");
  EXPECT_EQ(Owner("fd00::1"), "web RESOLVED");
  EXPECT_EQ(Owner("10.0.0.2"), "api RESOLVED");
}

// Each pod has them.
TEST_F(AddressBookTest, LoopbackAddressesAreNobodys) {
  for (const char* ip : {"127.0.0.1", "127.3.2.1", "::1"}) {
    EXPECT_TRUE(book_.Learn(kWebTap, Ip(ip))) << "it need not be said again";
    EXPECT_EQ(Owner(ip), "nobody");
  }
  EXPECT_EQ(book_.size(), 0u);
}

// A proxy may send there under the address of the client that it serves.
TEST_F(AddressBookTest, APodsLoopbackProvesNothing) {
  directory_.Publish(MakeTap(4, "web", CaptureMode::kPodLoopback));
  book_.Learn(kApiTap, Ip("10.0.0.2"));
  for (const char* ip : {"10.0.0.1", "10.0.0.2", "127.0.0.1"}) {
    EXPECT_TRUE(book_.Learn({.slot = 4, .generation = 1}, Ip(ip)));
  }
  EXPECT_EQ(Owner("10.0.0.1"), "nobody");
  EXPECT_EQ(Owner("10.0.0.2"), "api RESOLVED");
  EXPECT_EQ(Count("address_claims_refused"), 0u);
}

TEST_F(AddressBookTest, TwoPodsNameNeitherUntilOneCloses) {
  book_.Learn(kWebTap, Ip("10.0.0.1"));
  EXPECT_EQ(Owner("10.0.0.1"), "web RESOLVED");
  book_.Learn(kApiTap, Ip("10.0.0.1"));
  EXPECT_EQ(Owner("10.0.0.1"), "nobody");
  directory_.Retire(kWebTap, 0);
  EXPECT_EQ(Owner("10.0.0.1"), "api RESOLVED");
}

TEST_F(AddressBookTest, TwoTapsOfOnePodNameIt) {
  book_.Learn(kWebTap, Ip("10.0.0.1"));
  book_.Learn(kWebTap2, Ip("10.0.0.1"));
  EXPECT_EQ(Owner("10.0.0.1"), "web RESOLVED");
}

TEST_F(AddressBookTest, AClosedTapIsStaleThenForgotten) {
  book_.Learn(kWebTap, Ip("10.0.0.1"));
  directory_.Retire(kWebTap, 500);
  EXPECT_EQ(Owner("10.0.0.1", 499), "web STALE");
  CloseAndForget(kWebTap);
  EXPECT_EQ(Owner("10.0.0.1"), "nobody");
  EXPECT_EQ(book_.size(), 1u);
  book_.OnTick();
  EXPECT_EQ(book_.size(), 0u);
}

TEST_F(AddressBookTest, AClosedTapDoesNotNameWhoHasTheAddressNext) {
  book_.Learn(kWebTap, Ip("10.0.0.1"));
  directory_.Retire(kWebTap, 500);
  EXPECT_EQ(Owner("10.0.0.1", 500), "nobody") << "the next pod's own tap has seen nothing yet";
  auto next = std::make_shared<TapInfo>(*MakeTap(4, "next"));
  next->opened_ns = 700;
  directory_.Publish(next);
  book_.Learn(next->id, Ip("10.0.0.1"));
  EXPECT_EQ(Owner("10.0.0.1", 650), "next RESOLVED") << "before its tap was opened";
  EXPECT_EQ(Owner("10.0.0.1", 499), "web STALE");
}

TEST_F(AddressBookTest, ClosedTapsOfTwoPodsNameNeither) {
  book_.Learn(kWebTap, Ip("10.0.0.1"));
  book_.Learn(kApiTap, Ip("10.0.0.1"));
  directory_.Retire(kWebTap, 500);
  directory_.Retire(kApiTap, 500);
  EXPECT_EQ(Owner("10.0.0.1", 499), "nobody");
  EXPECT_EQ(Owner("10.0.0.1", 501), "nobody");
}

TEST_F(AddressBookTest, PodsThatHadAnAddressInTurnAreToldApartByTime) {
  book_.Learn(kWebTap, Ip("10.0.0.1"));
  directory_.Retire(kWebTap, 500);
  auto next = std::make_shared<TapInfo>(*MakeTap(4, "next"));
  next->opened_ns = 600;
  directory_.Publish(next);
  book_.Learn(next->id, Ip("10.0.0.1"));
  EXPECT_EQ(Owner("10.0.0.1", 499), "web STALE");
  EXPECT_EQ(Owner("10.0.0.1", 600), "next RESOLVED");
  EXPECT_EQ(Owner("10.0.0.1", 550), "next RESOLVED") << "between the two: who has it now";
  directory_.Retire(next->id, 700);
  EXPECT_EQ(Owner("10.0.0.1", 499), "web STALE");
  EXPECT_EQ(Owner("10.0.0.1", 650), "next STALE");
  EXPECT_EQ(Owner("10.0.0.1", 701), "nobody");
}

TEST_F(AddressBookTest, BoundsWhatOnePodCanClaim) {
  for (int i = 1; i <= 4; ++i) {
    book_.Learn(kWebTap, Ip("10.0.0." + std::to_string(i)));
  }
  EXPECT_EQ(book_.size(), 3u);
  EXPECT_EQ(Owner("10.0.0.4"), "nobody");
  EXPECT_EQ(Count("address_claims_refused"), 1u);
  book_.Learn(kApiTap, Ip("10.0.0.4"));
  EXPECT_EQ(Owner("10.0.0.4"), "api RESOLVED");
}

TEST_F(AddressBookTest, BoundsTheBook) {
  for (int i = 1; i <= 3; ++i) {
    book_.Learn(kWebTap, Ip("10.0.0." + std::to_string(i)));
    book_.Learn(kApiTap, Ip("10.0.1." + std::to_string(i)));
  }
  EXPECT_EQ(book_.size(), 4u);
  EXPECT_EQ(Count("address_claims_refused"), 2u);
  CloseAndForget(kWebTap);
  book_.OnTick();
  book_.Learn(kApiTap, Ip("10.0.1.3"));
  EXPECT_EQ(Owner("10.0.1.3"), "api RESOLVED") << "there is room again";
}

TEST_F(AddressBookTest, AClosedClaimGivesWay) {
  directory_.Publish(MakeTap(4, "new"));
  book_.Learn(kWebTap, Ip("10.0.0.1"));
  book_.Learn(kApiTap, Ip("10.0.0.1"));
  book_.Learn({.slot = 4, .generation = 1}, Ip("10.0.0.1"));
  EXPECT_EQ(Count("address_claims_refused"), 1u);
  directory_.Retire(kWebTap, 0);
  directory_.Retire(kApiTap, 0);
  book_.Learn({.slot = 4, .generation = 1}, Ip("10.0.0.1"));
  EXPECT_EQ(Owner("10.0.0.1"), "new RESOLVED");
}

TEST_F(AddressBookTest, AnUnknownTapClaimsNothing) {
  book_.Learn({.slot = 9, .generation = 1}, Ip("10.0.0.1"));
  EXPECT_EQ(book_.size(), 0u);
  EXPECT_EQ(Count("address_claims_of_unknown_taps"), 1u);
}

}  // namespace
}  // namespace podtap::enrichment
