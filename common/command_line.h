// Command lines of the three programs: settings from every source, exit codes, and one clear line
// for a mistake.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "common/settings.h"

namespace podtap {

constexpr int kExitDone = 0;
constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

// The command line of one program.
//
// Add options and subcommands to app() in CLI11's way, then Parse(). Every option may then also be
// set by the environment and the YAML file of --config (common/settings.h), unless it is
// configurable(false). Checks of a single value belong to the option (->check()); what else is
// wrong, such as flags that contradict each other, is found after Parse() and said with
// UsageError(). CLI11's required(), needs() and excludes() know the command line alone and so are
// not for settings.
class CommandLine {
 public:
  CommandLine(const std::string& description, const std::string& program);

  CLI::App& app() { return app_; }

  // Once. Parses argv, then fills in the settings that it does not hold. An exit code means that
  // the program ends now: 0 after --help, --version or the command `completion`, which every
  // program has, 2 after "PROGRAM: what is wrong" on standard error.
  std::optional<int> Parse(int argc, const char* const* argv);

  // Prints "PROGRAM: message (see --help)" on standard error; returns kExitUsage. Where the message
  // begins with a flag ("--listen: ...") whose value is not from the command line, it names the
  // variable, or the file and its line, instead.
  int UsageError(std::string_view message) const;

 private:
  CLI::App app_;
  SettingSources sources_;
};

// Parses argv for a program without settings, such as a benchmark's: as CommandLine, but neither
// environment nor file is looked at.
std::optional<int> ParseCommandLine(CLI::App& app, int argc, const char* const* argv);

// Prints "PROGRAM: message (see --help)" on standard error; returns kExitUsage.
int UsageError(const CLI::App& app, std::string_view message);

// Prints "PROGRAM: message" on standard error. Returns kExitUsage for kInvalidArgument, else
// kExitFailed.
int ReportFailure(std::string_view program, const absl::Status& status);

}  // namespace podtap
