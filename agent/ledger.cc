#include "agent/ledger.h"

#include <string>

namespace podtap {

v1::LedgerEntry ToLedgerEntry(v1::LedgerStage stage, const CounterValue& value) {
  v1::LedgerEntry entry;
  entry.set_stage(stage);
  entry.set_name(std::string(value.name));
  entry.set_count(value.count);
  entry.set_bytes(value.bytes);
  entry.set_is_loss(value.is_loss);
  return entry;
}

}  // namespace podtap
