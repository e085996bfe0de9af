// What the collector is told on its command line, in its environment and its file.
#pragma once

#include <string>
#include <variant>

#include "collector/collector.h"

namespace podtap {

struct CollectorCommand {
  CollectorOptions options;
  std::string log_level = "info";
};

// The options, checked, or the exit code to end with (what is wrong has been said).
std::variant<CollectorCommand, int> ParseCollectorCommand(int argc, const char* const* argv);

}  // namespace podtap
