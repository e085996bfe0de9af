#include "agent/ledger.h"

#include <string>

namespace podtap {

static_assert(static_cast<int>(LedgerStage::kExporter) == v1::LEDGER_STAGE_EXPORTER);

v1::LedgerEntry ToLedgerEntry(const LedgerLine& line) {
  const CounterValue& value = line.value;
  v1::LedgerEntry entry;
  entry.set_stage(static_cast<v1::LedgerStage>(line.stage));
  entry.set_name(std::string(value.name));
  entry.set_count(value.count);
  entry.set_bytes(value.bytes);
  entry.set_is_loss(value.is_loss);
  return entry;
}

}  // namespace podtap
