#include "common/settings.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "common/command_error.h"
#include "common/nearest_name.h"
#include "common/settings_file.h"
#include "common/status.h"
#include "common/text.h"

namespace podtap {
namespace {

constexpr char kConfigFlag[] = "--config";

std::string FlagName(const CLI::Option& option) { return "--" + option.get_lnames().front(); }

bool IsBoolean(const CLI::Option& option) { return option.get_items_expected_max() == 0; }

bool IsRepeatable(const CLI::Option& option) { return option.get_items_expected_max() > 1; }

// `app` and the subcommand that was chosen.
std::vector<CLI::App*> ChosenApps(CLI::App& app) {
  std::vector<CLI::App*> apps = {&app};
  for (CLI::App* subcommand : app.get_subcommands()) {
    apps.push_back(subcommand);
  }
  return apps;
}

// What the environment holds for `option`. Kubernetes puts addresses of services into the
// environment: PODTAP_COLLECTOR_PORT=tcp://10.0.0.1:4270 for a service named podtap-collector. None
// of ours begins so; one that does is not for us.
std::optional<std::string> VariableValue(const CLI::Option& option) {
  const char* value = std::getenv(VariableName(option).c_str());
  if (value == nullptr || value[0] == '\0') {
    return std::nullopt;
  }
  const std::string_view text = value;
  for (const std::string_view injected : {"tcp://", "udp://", "sctp://"}) {
    if (text.substr(0, injected.size()) == injected) {
      return std::nullopt;
    }
  }
  return std::string(text);
}

absl::StatusOr<bool> ParseBoolean(const std::string& flag, const std::string& text) {
  const std::string lower = absl::AsciiStrToLower(text);
  if (lower == "true" || lower == "yes" || lower == "1") {
    return true;
  }
  if (lower == "false" || lower == "no" || lower == "0") {
    return false;
  }
  return absl::InvalidArgumentError(absl::StrFormat(
      "%s: \"%s\" is not true or false (or yes, no, 1, 0)", flag, SafeText(text, 100)));
}

// Hands `values` to `option` as if the command line had held them, with all of its checks.
absl::Status Give(const CLI::App& app, CLI::Option& option, std::vector<std::string> values) {
  const std::string flag = FlagName(option);
  for (const std::string& value : values) {
    if (SafeText(value) != value) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s: \"%s\" holds control characters, or bytes that are not UTF-8", flag,
                          SafeText(value, 100)));
    }
  }
  if (IsBoolean(option)) {
    PODTAP_ASSIGN_OR_RETURN(const bool value, ParseBoolean(flag, values.front()));
    values = {value ? "true" : "false"};
  }
  try {
    option.add_result(std::move(values));
    option.run_callback();
  } catch (const CLI::Error& error) {
    return absl::InvalidArgumentError(ErrorText(app, error));
  }
  return absl::OkStatus();
}

// The path that --config or its variable holds, if any does.
std::optional<std::string> ConfigPath(const std::vector<CLI::App*>& apps, SettingSources& sources) {
  for (CLI::App* app : apps) {
    const CLI::Option* config = app->get_option_no_throw(kConfigFlag);
    if (config == nullptr) {
      continue;
    }
    if (config->count() > 0) {
      return config->results().back();
    }
    if (std::optional<std::string> path = VariableValue(*config)) {
      sources[kConfigFlag] = VariableName(*config);
      return path;
    }
  }
  return std::nullopt;
}

absl::Status ApplyVariables(CLI::App& app, SettingSources& sources) {
  for (CLI::Option* option : app.get_options()) {
    if (!IsSetting(*option) || option->count() > 0) {
      continue;
    }
    if (const std::optional<std::string> value = VariableValue(*option)) {
      sources[FlagName(*option)] = VariableName(*option);
      PODTAP_RETURN_IF_ERROR(Give(app, *option, {*value}));
    }
  }
  return absl::OkStatus();
}

// The option of one of `apps` that the key of a file names, or null.
CLI::Option* FindOption(const std::vector<CLI::App*>& apps, const std::string& key) {
  for (CLI::App* app : apps) {
    if (CLI::Option* option = app->get_option_no_throw("--" + key)) {
      return option;
    }
  }
  return nullptr;
}

absl::Status CheckShape(const CLI::Option& option, const FileSetting& setting) {
  const std::string flag = FlagName(option);
  if (setting.is_list && !IsRepeatable(option)) {
    return absl::InvalidArgumentError(flag + ": takes one value, not a list");
  }
  if (setting.values.empty()) {
    return absl::InvalidArgumentError(flag + ": the list is empty; leave the key out");
  }
  return absl::OkStatus();
}

// The chosen ones first. A program's file serves all of its subcommands, so a key may be a setting
// of any.
std::vector<CLI::App*> AllApps(CLI::App& app) {
  std::vector<CLI::App*> apps = ChosenApps(app);
  for (CLI::App* subcommand : app.get_subcommands(nullptr)) {
    apps.push_back(subcommand);
  }
  return apps;
}

std::string UnknownKey(const std::vector<CLI::App*>& apps, const std::string& key) {
  std::vector<std::string> known;
  for (const CLI::App* app : apps) {
    for (const CLI::Option* option : app->get_options()) {
      if (IsSetting(*option)) {
        known.push_back(option->get_lnames().front());
      }
    }
  }
  return "is not a setting" + DidYouMean(key, known);
}

absl::Status ApplyFile(CLI::App& app, const std::vector<FileSetting>& settings,
                       const std::string& path, SettingSources& sources) {
  const std::vector<CLI::App*> chosen = ChosenApps(app);
  const std::vector<CLI::App*> all = AllApps(app);
  for (const FileSetting& setting : settings) {
    const std::string where =
        absl::StrFormat("%s:%d: %s", SafeText(path, 200), setting.line, SafeText(setting.key, 100));
    const CLI::Option* known = FindOption(all, setting.key);
    if (known == nullptr) {
      return absl::InvalidArgumentError(where + ": " + UnknownKey(all, setting.key));
    }
    if (!IsSetting(*known)) {
      return absl::InvalidArgumentError(where + ": can be given on the command line only");
    }
    CLI::Option* option = FindOption(chosen, setting.key);
    if (option == nullptr || option->count() > 0) {
      continue;
    }
    sources[FlagName(*option)] = where;
    PODTAP_RETURN_IF_ERROR(CheckShape(*option, setting));
    PODTAP_RETURN_IF_ERROR(Give(app, *option, setting.values));
  }
  return absl::OkStatus();
}

}  // namespace

bool IsSetting(const CLI::Option& option) {
  return option.get_configurable() && !option.get_lnames().empty();
}

std::string VariableName(const CLI::Option& option) {
  std::string name = "PODTAP_" + absl::AsciiStrToUpper(option.get_lnames().front());
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

void AddConfigFlag(CLI::App& app) {
  const std::vector<CLI::Option*> options = app.get_options();
  // CLI11 checks its own kinds of requirement before the environment and the file are looked at.
  for (const CLI::Option* option : options) {
    PODTAP_CHECK(!IsSetting(*option) || (!option->get_required() && option->get_needs().empty() &&
                                         option->get_excludes().empty()));
  }
  const bool has_settings = std::any_of(
      options.begin(), options.end(), [](const CLI::Option* option) { return IsSetting(*option); });
  if (has_settings) {
    app.add_option(kConfigFlag)
        ->description("YAML file of settings, named as the flags")
        ->type_name("FILE")
        ->expected(1)
        ->configurable(false);
  }
  for (CLI::App* subcommand : app.get_subcommands(nullptr)) {
    AddConfigFlag(*subcommand);
  }
}

absl::Status ApplySettings(CLI::App& app, SettingSources& sources) {
  const std::vector<CLI::App*> chosen = ChosenApps(app);
  for (CLI::App* one : chosen) {
    PODTAP_RETURN_IF_ERROR(ApplyVariables(*one, sources));
  }
  const std::optional<std::string> path = ConfigPath(chosen, sources);
  if (!path) {
    return absl::OkStatus();
  }
  const absl::StatusOr<std::vector<FileSetting>> settings = ReadSettingsFile(*path);
  if (!settings.ok()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: %s", kConfigFlag, settings.status().message()));
  }
  return ApplyFile(app, *settings, *path, sources);
}

}  // namespace podtap
