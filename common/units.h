// Durations and sizes as people write them on command lines.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace podtap {

// "90s", "5m", "24h", "7d": a positive whole number and one unit. kInvalidArgument names `flag`.
absl::StatusOr<int64_t> ParseDurationNs(const std::string& flag, const std::string& text);

// "1048576", "512MiB", "8GiB": a positive whole number, plain (bytes) or in KiB, MiB, GiB or TiB.
// kInvalidArgument names `flag`.
absl::StatusOr<uint64_t> ParseSizeBytes(const std::string& flag, const std::string& text);

}  // namespace podtap
