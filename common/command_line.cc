#include "common/command_line.h"

#include <cstdio>
#include <iostream>

#include "common/text.h"

namespace podtap {
namespace {

// Arguments may hold anything; SafeText also keeps the message on one line.
void Print(std::string_view program, std::string_view message) {
  std::fprintf(stderr, "%s: %s\n", std::string(program).c_str(), SafeText(message).c_str());
}

}  // namespace

std::optional<int> ParseCommandLine(CLI::App& app, int argc, const char* const* argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
      // --help or --version.
      return app.exit(error, std::cout, std::cerr);
    }
    return UsageError(app, error.what());
  }
  return std::nullopt;
}

int UsageError(const CLI::App& app, std::string_view message) {
  Print(app.get_name(), std::string(message) + " (see --help)");
  return kExitUsage;
}

int ReportFailure(std::string_view program, const absl::Status& status) {
  Print(program, std::string(status.message()));
  return absl::IsInvalidArgument(status) ? kExitUsage : kExitFailed;
}

}  // namespace podtap
