// Mistakes on a command line in our words: one line that says what, why and what to do.
#pragma once

#include <string>

#include "CLI/CLI.hpp"

namespace podtap {

// `error`, which parsing `app` or giving a value to one of its options has thrown. Begins with the
// flag ("--last: ...") where there is one. May hold any bytes of the arguments: escape it to print.
std::string ErrorText(const CLI::App& app, const CLI::Error& error);

}  // namespace podtap
