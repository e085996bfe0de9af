// Command lines of the three programs: exit codes, and one clear line for a mistake.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"

namespace podtap {

constexpr int kExitDone = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

// Parses argv. An exit code means that the program ends now: 0 after --help or --version, 2 after
// "PROGRAM: what is wrong" on standard error.
std::optional<int> ParseCommandLine(CLI::App& app, int argc, const char* const* argv);

// Prints "PROGRAM: message (see --help)" on standard error; returns kExitUsage.
int UsageError(const CLI::App& app, std::string_view message);

// Prints "PROGRAM: message" on standard error. Returns kExitUsage for kInvalidArgument, else
// kExitFailed.
int ReportFailure(std::string_view program, const absl::Status& status);

}  // namespace podtap
