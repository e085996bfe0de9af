#include "common/command_error.h"

#include <string_view>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/nearest_name.h"
#include "common/option_shape.h"

namespace podtap {
namespace {

// The subcommand that was chosen, else `app`.
const CLI::App& Innermost(const CLI::App& app) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  return chosen.empty() ? app : *chosen.back();
}

const CLI::Option* FindOption(const CLI::App& app, const std::string& name) {
  const CLI::Option* option = Innermost(app).get_option_no_throw(name);
  return option != nullptr ? option : app.get_option_no_throw(name);
}

std::vector<std::string> CommandNames(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* subcommand : app.get_subcommands(nullptr)) {
    names.push_back(subcommand->get_name());
  }
  return names;
}

// What was given that nothing takes.
std::string Unexpected(const CLI::App& app, const std::string& argument) {
  if (argument.size() > 1 && argument[0] == '-') {
    const std::string flag = argument.substr(0, argument.find('='));
    std::vector<std::string> known;
    for (const CLI::Option* option : Innermost(app).get_options()) {
      for (const std::string& name : option->get_lnames()) {
        known.push_back("--" + name);
      }
    }
    return flag + ": no such flag" + DidYouMean(flag, known);
  }
  if (app.get_require_subcommand_min() > 0 && app.get_subcommands().empty()) {
    const std::vector<std::string> names = CommandNames(app);
    return absl::StrFormat("\"%s\": no such command%s", argument, DidYouMean(argument, names));
  }
  return absl::StrFormat("\"%s\": not expected here; values stand behind their flags", argument);
}

std::string Missing(const CLI::App& app) {
  const std::vector<std::string> rest = app.remaining(true);
  return rest.empty() ? "a command is needed: " + absl::StrJoin(CommandNames(app), ", ")
                      : Unexpected(app, rest.front());
}

// CLI11's "FLAG: why" where FLAG has too few values, or too many.
std::string WrongCount(const CLI::App& app, const std::string& text) {
  const std::string flag = text.substr(0, text.find(':'));
  const CLI::Option* option = FindOption(app, flag);
  if (option == nullptr) {
    return text;
  }
  if (option->count() > 1) {
    return absl::StrFormat("%s: given %d times; give it once", flag, option->count());
  }
  return absl::StrFormat("%s: needs a value (%s)", flag, ShapeOf(*option).value_name);
}

// CLI11's "Could not convert: FLAG = value". Texts always convert.
std::string Unconvertible(const CLI::App& app, const std::string& text) {
  constexpr std::string_view kBegin = "Could not convert: ";
  const size_t equals = text.find(" = ");
  if (text.compare(0, kBegin.size(), kBegin) != 0 || equals == std::string::npos) {
    return text;
  }
  const std::string flag = text.substr(kBegin.size(), equals - kBegin.size());
  const CLI::Option* option = FindOption(app, flag);
  const bool is_boolean = option != nullptr && option->get_items_expected_max() == 0;
  return absl::StrFormat("%s: \"%s\" is not %s", flag, text.substr(equals + 3),
                         is_boolean ? "true or false" : "a number in its range");
}

}  // namespace

std::string ErrorText(const CLI::App& app, const CLI::Error& error) {
  std::string text = error.what();
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    const std::vector<std::string> rest = app.remaining(true);
    return rest.empty() ? text : Unexpected(app, rest.front());
  }
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr && app.get_subcommands().empty() &&
      app.get_require_subcommand_min() > 0) {
    return Missing(app);
  }
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr) {
    return WrongCount(app, text);
  }
  if (dynamic_cast<const CLI::ConversionError*>(&error) != nullptr) {
    return Unconvertible(app, text);
  }
  return text;
}

}  // namespace podtap
