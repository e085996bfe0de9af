#include "collector/query/query_time.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_format.h"
#include "common/status.h"

namespace podtap::query {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kMaxSeconds = std::numeric_limits<int64_t>::max() / kNsPerSecond - 1;

absl::StatusOr<int64_t> ParseTime(const std::string& field,
                                  const google::protobuf::Timestamp& time) {
  if (time.nanos() < 0 || time.nanos() >= kNsPerSecond) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s.nanos: %d is not from 0 to 999999999", field, time.nanos()));
  }
  return std::clamp(time.seconds(), -kMaxSeconds, kMaxSeconds) * kNsPerSecond + time.nanos();
}

}  // namespace

void SetTimestamp(int64_t unix_ns, google::protobuf::Timestamp* time) {
  // Division rounds towards zero; nanos must not be negative.
  const int64_t nanos = (unix_ns % kNsPerSecond + kNsPerSecond) % kNsPerSecond;
  time->set_seconds((unix_ns - nanos) / kNsPerSecond);
  time->set_nanos(static_cast<int32_t>(nanos));
}

absl::StatusOr<NsRange> ParseTimeRange(const std::string& field, const v1::TimeRange& range) {
  NsRange parsed{std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()};
  if (range.has_start_time()) {
    PODTAP_ASSIGN_OR_RETURN(parsed.begin_ns, ParseTime(field + ".start_time", range.start_time()));
  }
  if (range.has_end_time()) {
    PODTAP_ASSIGN_OR_RETURN(parsed.end_ns, ParseTime(field + ".end_time", range.end_time()));
  }
  if (parsed.begin_ns > parsed.end_ns) {
    return absl::InvalidArgumentError(field + ".end_time: is before start_time");
  }
  return parsed;
}

}  // namespace podtap::query
