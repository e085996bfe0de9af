#include "common/command_line.h"

#include <cstdio>
#include <iostream>

#include "absl/strings/str_format.h"
#include "common/command_error.h"
#include "common/completion.h"
#include "common/help.h"
#include "common/text.h"

namespace podtap {
namespace {

// Arguments may hold anything; SafeText also keeps the message on one line.
void Print(std::string_view program, std::string_view message) {
  std::fprintf(stderr, "%s: %s\n", std::string(program).c_str(), SafeText(message).c_str());
}

void AddVersionFlag(CLI::App& app, const std::string& version) {
  app.set_version_flag("--version", version, "Print the version and exit");
  for (CLI::App* subcommand : app.get_subcommands(nullptr)) {
    AddVersionFlag(*subcommand, version);
  }
}

}  // namespace

CommandLine::CommandLine(const std::string& description, const std::string& program)
    : app_(description, program) {
  app_.set_help_flag("-h,--help", "Print this help and exit");
}

std::optional<int> CommandLine::Parse(int argc, const char* const* argv) {
  AddCompletionCommand(app_);
  AddVersionFlag(app_, app_.get_name() + " " PODTAP_VERSION);
  AddConfigFlag(app_);
  SetUpHelp(app_);
  if (const std::optional<int> exit_code = ParseCommandLine(app_, argc, argv)) {
    return exit_code;
  }
  if (WantsCompletion(app_)) {
    std::cout << CompletionScript(app_) << std::flush;
    return std::cout.good() ? kExitDone : kExitFailed;
  }
  if (const absl::Status status = ApplySettings(app_, sources_); !status.ok()) {
    return UsageError(std::string(status.message()));
  }
  return std::nullopt;
}

int CommandLine::UsageError(std::string_view message) const {
  std::string text(message);
  const size_t end = text.find_first_of(": ");
  if (const auto source = sources_.find(text.substr(0, end)); source != sources_.end()) {
    text.replace(0, source->first.size(), source->second);
  }
  return podtap::UsageError(app_, text);
}

std::optional<int> ParseCommandLine(CLI::App& app, int argc, const char* const* argv) {
  for (int i = 1; i < argc; ++i) {
    // What can't be printed is nobody's setting; refused here, it gets into no log and no message.
    if (SafeText(argv[i]) != argv[i]) {
      return UsageError(app, absl::StrFormat("argument %d, \"%s\": holds control characters, or "
                                             "bytes that are not UTF-8",
                                             i, SafeText(argv[i], 100)));
    }
  }
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
      // --help or --version.
      return app.exit(error, std::cout, std::cerr);
    }
    return UsageError(app, ErrorText(app, error));
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
