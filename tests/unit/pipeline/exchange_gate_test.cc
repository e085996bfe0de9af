#include "agent/exchange_gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace podtap {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class Passed : public pairing::ExchangeSink {
 public:
  void OnExchange(pairing::Exchange exchange) override {
    indexes.push_back(exchange.exchange_index);
  }
  std::vector<uint32_t> indexes;
};

pairing::Exchange Exchange(uint32_t index, int64_t end_ns) {
  pairing::Exchange exchange;
  exchange.exchange_index = index;
  exchange.end_ns = end_ns;
  return exchange;
}

std::map<std::string, uint64_t> Counters(const ExchangeGate& gate) {
  std::map<std::string, uint64_t> counters;
  gate.Visit([&](const CounterValue& value) { counters[std::string(value.name)] = value.count; });
  return counters;
}

TEST(ExchangeGateTest, WithOneRingNothingWaits) {
  const RingProgress progress(1);
  Passed passed;
  ExchangeGate gate(progress, passed);
  gate.OnExchange(Exchange(1, 1'000));
  EXPECT_THAT(passed.indexes, ElementsAre(1));
}

TEST(ExchangeGateTest, WaitsUntilTheSlowestRingIsReadUpToTheEnd) {
  RingProgress progress(3);
  Passed passed;
  ExchangeGate gate(progress, passed);
  progress.Set(0, 5'000);
  progress.Set(1, 5'000);
  gate.OnExchange(Exchange(1, 1'000));
  EXPECT_THAT(passed.indexes, IsEmpty());
  progress.Set(2, 999);
  gate.Release();
  EXPECT_THAT(passed.indexes, IsEmpty());
  EXPECT_EQ(Counters(gate)["exchanges_waiting"], 1u);
  progress.Set(2, 1'000);
  gate.Release();
  EXPECT_THAT(passed.indexes, ElementsAre(1));
  EXPECT_EQ(Counters(gate)["exchanges_waiting"], 0u);
}

TEST(ExchangeGateTest, KeepsTheOrderAlsoOfOneThatNeedNotWait) {
  RingProgress progress(2);
  Passed passed;
  ExchangeGate gate(progress, passed);
  progress.Set(0, 500);
  progress.Set(1, 500);
  gate.OnExchange(Exchange(1, 1'000));
  gate.OnExchange(Exchange(2, 400));
  EXPECT_THAT(passed.indexes, IsEmpty());
  progress.Set(0, 1'000);
  progress.Set(1, 1'000);
  gate.Release();
  EXPECT_THAT(passed.indexes, ElementsAre(1, 2));
}

TEST(ExchangeGateTest, OldestPassesWhenTooManyWait) {
  const RingProgress progress(2);
  Passed passed;
  ExchangeGate gate(progress, passed);
  // The bound is that of both rings' gates together.
  for (uint32_t i = 0; i < ExchangeGate::kMaxWaiting / 2 + 2; ++i) {
    gate.OnExchange(Exchange(i, 1'000));
  }
  EXPECT_THAT(passed.indexes, ElementsAre(0, 1));
  EXPECT_EQ(Counters(gate)["waits_cut"], 2u);
}

TEST(ExchangeGateTest, OldestPassesWhenTooManyBytesWait) {
  const RingProgress progress(2);
  Passed passed;
  ExchangeGate gate(progress, passed);
  for (uint32_t i = 0; i < 5; ++i) {
    pairing::Exchange exchange = Exchange(i, 1'000);
    exchange.request.target.assign(ExchangeGate::kMaxWaitingBytes / 2 / 3, 'x');
    gate.OnExchange(std::move(exchange));
  }
  EXPECT_THAT(passed.indexes, ElementsAre(0, 1, 2));
  EXPECT_EQ(Counters(gate)["waits_cut"], 3u);
}

}  // namespace
}  // namespace podtap
