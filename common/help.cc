#include "common/help.h"

#include <algorithm>
#include <memory>
#include <string>

#include "absl/strings/str_format.h"
#include "common/option_shape.h"
#include "common/settings.h"

namespace podtap {
namespace {

constexpr size_t kColumnWidth = 38;

// "  --listen HOST:PORT              Address ... [127.0.0.1:4270]"
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(kColumnWidth); }

  std::string make_option_opts(const CLI::Option* option) const override {
    const std::string value = ShapeOf(*option).value_name;
    return value.empty() ? value : " " + value;
  }
  std::string make_option_desc(const CLI::Option* option) const override {
    const std::string value = option->get_default_str();
    return option->get_description() + (value.empty() ? value : " [" + value + "]");
  }
};

void SetUp(CLI::App& app, const std::shared_ptr<HelpFormatter>& formatter) {
  app.formatter(formatter);
  const std::vector<CLI::Option*> options = app.get_options();
  const auto setting = std::find_if(options.begin(), options.end(),
                                    [](const CLI::Option* option) { return IsSetting(*option); });
  if (setting != options.end()) {
    app.footer(
        absl::StrFormat("Settings such as --%1$s can also be variables (%2$s) or keys of the "
                        "--config file (%1$s);\n"
                        "a flag wins over a variable, a variable over the file.",
                        (*setting)->get_lnames().front(), VariableName(**setting)));
  }
  for (CLI::App* subcommand : app.get_subcommands(nullptr)) {
    SetUp(*subcommand, formatter);
  }
}

}  // namespace

void SetUpHelp(CLI::App& app) { SetUp(app, std::make_shared<HelpFormatter>()); }

}  // namespace podtap
