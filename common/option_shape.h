// How an option is written, read off the CLI11 option: for help, messages and shell completion.
#pragma once

#include <string>
#include <vector>

#include "CLI/CLI.hpp"

namespace podtap {

struct OptionShape {
  // "HOST:PORT", "FILE", "compact|json"; empty for a flag without value.
  std::string value_name;
  // What the value can be, where that is a short list.
  std::vector<std::string> choices;
};

OptionShape ShapeOf(const CLI::Option& option);

}  // namespace podtap
