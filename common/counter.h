// One line of a stage's ledger.
#pragma once

#include <cstdint>
#include <string_view>

namespace podtap {

// A count, cumulative since the agent started. Each stage keeps a struct of plain integers and
// lists them through `Visit(visitor)`, which calls visitor(CounterValue).
struct CounterValue {
  // Snake case, in static memory; part of the contract with those who read the ledger.
  std::string_view name;
  uint64_t count = 0;
  // Payload bytes, where that is meaningful.
  uint64_t bytes = 0;
  // Data lost for good.
  bool is_loss = false;
};

// Where a line belongs, in the order data flows. Numbers are those of podtap.v1.LedgerStage.
enum class LedgerStage : uint8_t {
  kKernel = 1,
  kCapture = 2,
  kReassembly = 3,
  kHttp = 4,
  kPairing = 5,
  kEnrichment = 6,
  kExporter = 7,
};

// A counter and its stage.
struct LedgerLine {
  LedgerStage stage = LedgerStage::kKernel;
  CounterValue value;
};

}  // namespace podtap
