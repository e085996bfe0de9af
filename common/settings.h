// Settings of a program from its environment and its YAML file, for what the command line does not
// say. The order is flag, variable, file, default.
//
// The options of the CLI11 app are the schema. Each option with a long name that is configurable
// (CLI11's word, and what options are by default) is a setting: --node-name is PODTAP_NODE_NAME in
// the environment and node-name in the file, and its checks hold for all three. Nothing else lists
// settings.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"

namespace podtap {

// "--node-name" -> what messages call it instead where its value is not from the command line:
// "PODTAP_NODE_NAME", or "agent.yaml:3: node-name".
using SettingSources = std::map<std::string, std::string, std::less<>>;

// Whether `option` can be set by the environment and the file.
bool IsSetting(const CLI::Option& option);

// "PODTAP_NODE_NAME" for --node-name.
std::string VariableName(const CLI::Option& option);

// Adds --config to `app` and to each of its subcommands, where there are settings.
void AddConfigFlag(CLI::App& app);

// Gives the settings of `app` and of its chosen subcommand that the command line, parsed before,
// does not hold what the environment or the file says. kInvalidArgument is one line that begins
// with the flag (to be looked up in `sources`) or with the file.
absl::Status ApplySettings(CLI::App& app, SettingSources& sources);

}  // namespace podtap
