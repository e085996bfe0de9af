#include "cli/filter_flags.h"

#include <algorithm>
#include <string_view>

#include "absl/strings/str_format.h"
#include "common/status.h"
#include "common/text.h"

namespace podtap::cli {
namespace {

// What MarkFilterValues() puts before every value. Not a dash, which would make a flag of it.
constexpr char kWanted = '+';
constexpr char kUnwanted = '!';

struct FilterFlag {
  const char* name;
  const char* type;
  const char* help;
  // Adds the value to the filter; kInvalidArgument when it can't be one.
  absl::Status (*add)(const std::string& value, v1::EventFilter* filter);
};

absl::Status AddReporter(const std::string& value, v1::EventFilter* filter) {
  if (value != "client" && value != "server") {
    return absl::InvalidArgumentError(
        absl::StrFormat("--reporter: \"%s\" is neither client nor server", SafeText(value, 100)));
  }
  filter->add_reporter(value == "client" ? v1::REPORTER_CLIENT : v1::REPORTER_SERVER);
  return absl::OkStatus();
}

constexpr std::array<FilterFlag, kFilterFlags> kFlags = {{
    {"--namespace", "NAME", "Namespace of either end",
     [](const std::string& value, v1::EventFilter* filter) {
       filter->mutable_endpoint()->add_namespace_(value);
       return absl::OkStatus();
     }},
    {"--pod", "POD", "Pod at either end: NAME, PREFIX* or NAMESPACE/NAME",
     [](const std::string& value, v1::EventFilter* filter) {
       filter->mutable_endpoint()->add_pod(value);
       return absl::OkStatus();
     }},
    {"--from-namespace", "NAME", "Namespace of the client",
     [](const std::string& value, v1::EventFilter* filter) {
       filter->mutable_source()->add_namespace_(value);
       return absl::OkStatus();
     }},
    {"--from-pod", "POD", "Pod that is the client",
     [](const std::string& value, v1::EventFilter* filter) {
       filter->mutable_source()->add_pod(value);
       return absl::OkStatus();
     }},
    {"--to-namespace", "NAME", "Namespace of the server",
     [](const std::string& value, v1::EventFilter* filter) {
       filter->mutable_destination()->add_namespace_(value);
       return absl::OkStatus();
     }},
    {"--to-pod", "POD", "Pod that is the server",
     [](const std::string& value, v1::EventFilter* filter) {
       filter->mutable_destination()->add_pod(value);
       return absl::OkStatus();
     }},
    {"--method", "METHOD", "Request method",
     [](const std::string& value, v1::EventFilter* filter) {
       filter->add_method(value);
       return absl::OkStatus();
     }},
    {"--path", "PATH", "Path: exact, /prefix/*, or ~RE2",
     [](const std::string& value, v1::EventFilter* filter) {
       filter->add_path(value);
       return absl::OkStatus();
     }},
    {"--status", "STATUS", "Status: 404, 5xx or 400-499",
     [](const std::string& value, v1::EventFilter* filter) {
       filter->add_status(value);
       return absl::OkStatus();
     }},
    {"--reporter", "END", "End that reported: client or server", AddReporter},
}};

bool IsFilterFlag(std::string_view name) {
  return std::any_of(kFlags.begin(), kFlags.end(),
                     [&](const FilterFlag& flag) { return name == flag.name; });
}

}  // namespace

absl::StatusOr<std::vector<std::string>> MarkFilterValues(int argc, const char* const* argv) {
  std::vector<std::string> marked;
  bool negate = false;
  for (int i = 0; i < argc; ++i) {
    const std::string argument = argv[i];
    const size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    const bool is_filter = IsFilterFlag(name);
    if (negate && !is_filter) {
      break;
    }
    if (argument == "--not") {
      negate = true;
      continue;
    }
    if (!is_filter) {
      marked.push_back(argument);
      continue;
    }
    const char mark = negate ? kUnwanted : kWanted;
    negate = false;
    marked.push_back(name);
    if (equals != std::string::npos) {
      marked.push_back(mark + argument.substr(equals + 1));
    } else if (i + 1 < argc) {
      marked.push_back(mark + std::string(argv[++i]));
    }
  }
  if (negate) {
    return absl::InvalidArgumentError("--not: must stand before a filter flag");
  }
  return marked;
}

void AddFilterFlags(CLI::App& app, FilterValues& values) {
  for (size_t i = 0; i < kFlags.size(); ++i) {
    app.add_option(kFlags[i].name, values[i], kFlags[i].help)
        ->type_name(kFlags[i].type)
        ->allow_extra_args(false)
        ->group("Filters (repeated: any of the values)");
  }
  app.add_flag("--not")
      ->description("Negates the next filter")
      ->group("Filters (repeated: any of the values)");
}

absl::Status BuildFilters(const FilterValues& values,
                          google::protobuf::RepeatedPtrField<v1::EventFilter>* include,
                          google::protobuf::RepeatedPtrField<v1::EventFilter>* exclude) {
  for (size_t i = 0; i < kFlags.size(); ++i) {
    for (const std::string& value : values[i]) {
      const bool wanted = value[0] == kWanted;
      if (!wanted || include->empty()) {
        (wanted ? include : exclude)->Add();
      }
      v1::EventFilter* filter =
          wanted ? include->Mutable(0) : exclude->Mutable(exclude->size() - 1);
      PODTAP_RETURN_IF_ERROR(kFlags[i].add(value.substr(1), filter));
    }
  }
  return absl::OkStatus();
}

}  // namespace podtap::cli
