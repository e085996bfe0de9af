// --help of the three programs.
#pragma once

#include "CLI/CLI.hpp"

namespace podtap {

// Makes the help of `app` and its subcommands readable and complete: values and defaults behind the
// flags, and the rule for settings at the end.
void SetUpHelp(CLI::App& app);

}  // namespace podtap
