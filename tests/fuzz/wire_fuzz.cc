// What claims to be an agent's message: a batch is refused, or every event in it can be stored,
// read and printed.
//
// Input: a StreamEventsRequest.
#include <google/protobuf/stubs/logging.h>

#include "collector/ingest/batch_decoder.h"
#include "common/status.h"
#include "tests/fuzz/event_checks.h"

namespace podtap::ingest {
namespace {

void CheckRange(const absl::StatusOr<SequenceRange>& range) {
  if (range.ok()) {
    PODTAP_CHECK(range->first > 0 && range->first <= range->last);
  }
}

void CheckBatch(v1::EventBatch& batch) {
  const absl::StatusOr<SequenceRange> range = RangeOf(batch);
  CheckRange(range);
  if (!range.ok() || !PrepareBatch(batch).ok()) {
    return;
  }
  PODTAP_CHECK(range->last - range->first + 1 == static_cast<uint64_t>(batch.events_size()));
  fuzz::CheckStrings(batch);
  // Once is enough.
  v1::EventBatch again = batch;
  PODTAP_CHECK(PrepareBatch(again).ok());
  PODTAP_CHECK(again.SerializeAsString() == batch.SerializeAsString());
  for (const v1::HttpEvent& event : fuzz::StoreAndExpand(batch)) {
    fuzz::CheckEvent(event);
  }
}

}  // namespace
}  // namespace podtap::ingest

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Says on standard error what it refuses, which is most of what comes here.
  [[maybe_unused]] static auto* const handler = google::protobuf::SetLogHandler(nullptr);
  podtap::v1::StreamEventsRequest request;
  if (!request.ParseFromArray(data, static_cast<int>(size))) {
    return 0;
  }
  if (request.has_dropped()) {
    podtap::ingest::CheckRange(podtap::ingest::RangeOf(request.dropped()));
  } else if (request.has_batch()) {
    podtap::ingest::CheckBatch(*request.mutable_batch());
  }
  return 0;
}
