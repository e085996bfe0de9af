// Checks what an agent sends before it reaches the store. An agent is not trusted: it may be of
// another version, broken, or something else that speaks the protocol.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "podtap/v1/ingest_service.pb.h"

namespace podtap::ingest {

// Bounds of one batch. An agent's own are far lower (500 events, heads of 16 KiB, 32 labels).
constexpr int kMaxBatchEvents = 10'000;
constexpr int kMaxBatchStrings = 200'000;
constexpr int kMaxBatchEndpoints = 20'000;
constexpr size_t kMaxStringBytes = 64 << 10;
// All strings of one event together: what one event may grow to when it is taken out of its tables.
constexpr size_t kMaxEventTextBytes = 256 << 10;
constexpr int kMaxHeaders = 256;
constexpr int kMaxInformationalCodes = 32;
// Of one endpoint; names and values of all labels together.
constexpr size_t kMaxLabels = 128;
constexpr size_t kMaxLabelTextBytes = 16 << 10;

// Sequences of a batch or a dropped range, both ends included.
struct SequenceRange {
  uint64_t first = 0;
  uint64_t last = 0;
};

// Errors mean that the agent breaks the protocol: there is no range that could be acknowledged.
absl::StatusOr<SequenceRange> RangeOf(const v1::EventBatch& batch);
absl::StatusOr<SequenceRange> RangeOf(const v1::DroppedRange& dropped);

// Checks every index, number and size of a batch that has a range, and brings it into the form that
// the store takes: strings are valid UTF-8 and printable (SafeText), addresses are in canonical
// form, unknown fields are gone. An error means that the batch as a whole can't be used.
absl::Status PrepareBatch(v1::EventBatch& batch);

}  // namespace podtap::ingest
