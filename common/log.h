// Logging of the three programs: one line per message on standard error, "time level message".
//
// Use PODTAP_LOG_INFO and friends (fmt syntax). Bytes from the wire go through SafeText() first.
// Thread-safe. What can repeat at the rate of traffic is counted, not logged.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "spdlog/spdlog.h"

#define PODTAP_LOG_DEBUG(...) SPDLOG_DEBUG(__VA_ARGS__)
#define PODTAP_LOG_INFO(...) SPDLOG_INFO(__VA_ARGS__)
#define PODTAP_LOG_WARN(...) SPDLOG_WARN(__VA_ARGS__)
#define PODTAP_LOG_ERROR(...) SPDLOG_ERROR(__VA_ARGS__)

namespace podtap {

// Sets up logging to standard error. `level` is debug, info, warn or error; anything else is
// kInvalidArgument.
absl::Status InitLog(const std::string& level);

}  // namespace podtap
