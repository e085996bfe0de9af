// The file of --cursor-file: one line, the cursor behind the last event printed.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace podtap::cli {

// The cursor; empty when there is no such file. Errors say what to do.
absl::StatusOr<std::string> ReadCursorFile(const std::string& path);

// Replaces the file as a whole, by way of PATH.tmp beside it: a reader, or a run that is killed
// half-way, finds the cursor of before or the new one.
absl::Status WriteCursorFile(const std::string& path, const std::string& cursor);

}  // namespace podtap::cli
