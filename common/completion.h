// Shell completion, from the CLI11 app: commands, flags, and what their values can be.
#pragma once

#include <string>

#include "CLI/CLI.hpp"

namespace podtap {

// Adds the command `completion SHELL` to `app`.
void AddCompletionCommand(CLI::App& app);

// Whether `app`, which is parsed, was asked for it.
bool WantsCompletion(const CLI::App& app);

// The script that makes the shell that was asked for complete command lines of `app`.
std::string CompletionScript(CLI::App& app);

}  // namespace podtap
