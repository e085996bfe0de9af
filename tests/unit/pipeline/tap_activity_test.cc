#include "agent/tap_activity.h"

#include <gtest/gtest.h>

#include <memory>

#include "tests/support/segment_script.h"

namespace podtap::testing {
namespace {

using capture::TapId;

constexpr TapId kTap = {3, 1};
constexpr TapId kNext = {3, 2};

pairing::Exchange ExchangeOf(const TapId& tap) {
  pairing::Exchange exchange;
  exchange.connection.tap = tap;
  return exchange;
}

class Drain : public pairing::ExchangeSink {
 public:
  void OnExchange(pairing::Exchange) override { ++exchanges; }
  int exchanges = 0;
};

class TapActivityTest : public ::testing::Test {
 protected:
  // Large.
  const std::unique_ptr<TapActivity> activity_ = std::make_unique<TapActivity>();
  Drain drain_;
  ActivitySink sink_{*activity_, drain_};
};

TEST_F(TapActivityTest, CountsBeginningsAndEnds) {
  activity_->Begin(kTap);
  sink_.OnBegin(kTap);
  sink_.OnBegin(kTap);
  sink_.OnBegin(kTap);
  EXPECT_EQ(activity_->Get(kTap).open_exchanges, 3u);
  sink_.OnExchange(ExchangeOf(kTap));
  sink_.OnUnconfirmed(kTap);
  EXPECT_EQ(activity_->Get(kTap).open_exchanges, 1u);
  EXPECT_EQ(activity_->Get(kTap).exchanges, 1u);
  EXPECT_EQ(drain_.exchanges, 1);
}

TEST_F(TapActivityTest, ASlotsNextUseKnowsNothingOfTheOneBefore) {
  activity_->Begin(kTap);
  sink_.OnBegin(kTap);
  activity_->OnRecord(kTap, 5'000'000'000);
  activity_->Begin(kNext);
  sink_.OnExchange(ExchangeOf(kTap));
  activity_->OnRecord(kTap, 6'000'000'000);
  const TapActivity::Values values = activity_->Get(kNext);
  EXPECT_EQ(values.exchanges, 0u);
  EXPECT_EQ(values.open_exchanges, 0u);
  EXPECT_EQ(values.last_record_ns, 0);
  EXPECT_EQ(activity_->Get(kTap).exchanges, 0u);
  EXPECT_EQ(drain_.exchanges, 1);
}

TEST_F(TapActivityTest, KeepsTheNewestRecordsTime) {
  activity_->Begin(kTap);
  activity_->OnRecord(kTap, 5'000'000'000);
  activity_->OnRecord(kTap, 4'000'000'000);
  EXPECT_EQ(activity_->Get(kTap).last_record_ns, 5'000'000'000);
  activity_->OnRecord(kTap, 7'000'000'000);
  EXPECT_EQ(activity_->Get(kTap).last_record_ns, 7'000'000'000);
}

}  // namespace
}  // namespace podtap::testing
