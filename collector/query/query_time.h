// Times of the API as nanoseconds since the Unix epoch.
#pragma once

#include <google/protobuf/timestamp.pb.h>

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "podtap/v1/query_service.pb.h"

namespace podtap::query {

// Half-open.
struct NsRange {
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
};

void SetTimestamp(int64_t unix_ns, google::protobuf::Timestamp* time);

// Absent ends become the least and the greatest number; times beyond what 64 bits hold are brought
// inside. kInvalidArgument names the field under `field`.
absl::StatusOr<NsRange> ParseTimeRange(const std::string& field, const v1::TimeRange& range);

}  // namespace podtap::query
