#include "cli/filter_flags.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "common/filter_values.h"
#include "common/text.h"

namespace podtap::cli {
namespace {

// What MarkFilterValues() puts before every value. Not a dash, which would make a flag of it.
constexpr char kWanted = '+';
constexpr char kUnwanted = '!';

// Adds the value to the filter; kInvalidArgument, without the flag's name, when it can't be one.
using AddValue = absl::Status (*)(const std::string& value, v1::EventFilter* filter);

struct FilterFlag {
  const char* name;
  const char* type;
  const char* help;
  AddValue add;
};

absl::Status Unlike(const std::string& value, const char* what) {
  return absl::InvalidArgumentError(absl::StrFormat("\"%s\" is %s", SafeText(value, 100), what));
}

// The three ends a flag can name.
using EndOf = v1::EndpointFilter* (v1::EventFilter::*)();
constexpr EndOf kEither = &v1::EventFilter::mutable_endpoint;
constexpr EndOf kFrom = &v1::EventFilter::mutable_source;
constexpr EndOf kTo = &v1::EventFilter::mutable_destination;

template <EndOf kEnd>
absl::Status AddNamespace(const std::string& value, v1::EventFilter* filter) {
  (filter->*kEnd)()->add_namespace_(value);
  return absl::OkStatus();
}

template <EndOf kEnd>
absl::Status AddPod(const std::string& value, v1::EventFilter* filter) {
  (filter->*kEnd)()->add_pod(value);
  return ScopedPattern::Parse(value).status();
}

template <EndOf kEnd>
absl::Status AddWorkload(const std::string& value, v1::EventFilter* filter) {
  (filter->*kEnd)()->add_workload(value);
  return ScopedPattern::Parse(value).status();
}

template <EndOf kEnd>
absl::Status AddService(const std::string& value, v1::EventFilter* filter) {
  (filter->*kEnd)()->add_service(value);
  return value.empty() ? Unlike(value, "no name of a service") : absl::OkStatus();
}

template <EndOf kEnd>
absl::Status AddLabel(const std::string& value, v1::EventFilter* filter) {
  (filter->*kEnd)()->add_label(value);
  return LabelPattern::Parse(value).status();
}

template <EndOf kEnd>
absl::Status AddIp(const std::string& value, v1::EventFilter* filter) {
  (filter->*kEnd)()->add_ip(value);
  return ParseIpFilter(value).status();
}

template <EndOf kEnd>
absl::Status AddPort(const std::string& value, v1::EventFilter* filter) {
  uint32_t port = 0;
  if (!absl::SimpleAtoi(value, &port) || port < 1 || port > 65'535) {
    return Unlike(value, "not a port from 1 to 65535");
  }
  (filter->*kEnd)()->add_port(port);
  return absl::OkStatus();
}

absl::Status AddNode(const std::string& value, v1::EventFilter* filter) {
  filter->add_node(value);
  return absl::OkStatus();
}

absl::Status AddMethod(const std::string& value, v1::EventFilter* filter) {
  filter->add_method(value);
  return absl::OkStatus();
}

absl::Status AddPath(const std::string& value, v1::EventFilter* filter) {
  filter->add_path(value);
  return PathPattern::Parse(value).status();
}

absl::Status AddHost(const std::string& value, v1::EventFilter* filter) {
  filter->add_host(value);
  return HostPattern::Parse(value).status();
}

absl::Status AddStatus(const std::string& value, v1::EventFilter* filter) {
  filter->add_status(value);
  return StatusRange::Parse(value).status();
}

// Any of several is the least of them.
absl::Status AddMinDuration(const std::string& value, v1::EventFilter* filter) {
  constexpr absl::Duration kMax = absl::Hours(24 * 36'500);
  absl::Duration duration;
  if (!absl::ParseDuration(value, &duration) || duration <= absl::ZeroDuration() ||
      duration > kMax) {
    return Unlike(value, "not a duration like 250ms, 1.5s or 2m");
  }
  google::protobuf::Duration least;
  const int64_t seconds = absl::ToInt64Seconds(duration);
  least.set_seconds(seconds);
  least.set_nanos(
      static_cast<int32_t>(absl::ToInt64Nanoseconds(duration - absl::Seconds(seconds))));
  const google::protobuf::Duration& known = filter->min_duration();
  if (!filter->has_min_duration() ||
      std::pair(least.seconds(), least.nanos()) < std::pair(known.seconds(), known.nanos())) {
    *filter->mutable_min_duration() = least;
  }
  return absl::OkStatus();
}

// By the words that the compact form prints.
absl::Status AddOutcome(const std::string& value, v1::EventFilter* filter) {
  v1::Outcome outcome = v1::OUTCOME_UNSPECIFIED;
  if (!v1::Outcome_Parse("OUTCOME_" + absl::AsciiStrToUpper(value), &outcome) ||
      outcome == v1::OUTCOME_UNSPECIFIED) {
    return Unlike(value,
                  "no outcome: complete, no_response, connection_reset, connection_closed, "
                  "timeout, upgraded, tunnel or malformed");
  }
  filter->add_outcome(outcome);
  return absl::OkStatus();
}

absl::Status AddReporter(const std::string& value, v1::EventFilter* filter) {
  if (value != "client" && value != "server") {
    return Unlike(value, "neither client nor server");
  }
  filter->add_reporter(value == "client" ? v1::REPORTER_CLIENT : v1::REPORTER_SERVER);
  return absl::OkStatus();
}

absl::Status AddTraceId(const std::string& value, v1::EventFilter* filter) {
  filter->add_trace_id(value);
  return ParseTraceIdFilter(value).status();
}

absl::Status AddHeader(const std::string& value, v1::EventFilter* filter) {
  filter->add_header(value);
  return HeaderPattern::Parse(value).status();
}

constexpr std::array<FilterFlag, kFilterFlags> kFlags = {{
    {"--namespace", "NAME", "Namespace of either end", AddNamespace<kEither>},
    {"--pod", "POD", "Pod at either end: NAME, PREFIX* or NAMESPACE/NAME", AddPod<kEither>},
    {"--workload", "WORKLOAD", "Workload at either end: NAME, PREFIX* or NAMESPACE/NAME",
     AddWorkload<kEither>},
    {"--service", "SERVICE", "Service at either end: NAME or PREFIX*", AddService<kEither>},
    {"--label", "LABEL", "Label of either end's pod: KEY, KEY=VALUE, KEY=PREFIX*; A,B: both",
     AddLabel<kEither>},
    {"--ip", "IP", "Address of either end, or a range: 10.0.0.0/8, fd00::/8", AddIp<kEither>},
    {"--port", "PORT", "TCP port of either end", AddPort<kEither>},
    {"--from-namespace", "NAME", "Namespace of the client", AddNamespace<kFrom>},
    {"--from-pod", "POD", "Pod that is the client", AddPod<kFrom>},
    {"--from-workload", "WORKLOAD", "Workload that is the client", AddWorkload<kFrom>},
    {"--from-service", "SERVICE", "Service that is the client", AddService<kFrom>},
    {"--from-label", "LABEL", "Label of the client's pod", AddLabel<kFrom>},
    {"--from-ip", "IP", "Address of the client", AddIp<kFrom>},
    {"--from-port", "PORT", "TCP port of the client", AddPort<kFrom>},
    {"--to-namespace", "NAME", "Namespace of the server", AddNamespace<kTo>},
    {"--to-pod", "POD", "Pod that is the server", AddPod<kTo>},
    {"--to-workload", "WORKLOAD", "Workload that is the server", AddWorkload<kTo>},
    {"--to-service", "SERVICE", "Service that is the server", AddService<kTo>},
    {"--to-label", "LABEL", "Label of the server's pod", AddLabel<kTo>},
    {"--to-ip", "IP", "Address of the server", AddIp<kTo>},
    {"--to-port", "PORT", "TCP port of the server", AddPort<kTo>},
    {"--node", "NODE", "Node that reported: NAME or PREFIX*", AddNode},
    {"--method", "METHOD", "Request method", AddMethod},
    {"--path", "PATH", "Path: exact, /prefix/*, or ~RE2", AddPath},
    {"--host", "HOST", "Host asked for: HOST (any port), HOST:PORT, *.DOMAIN", AddHost},
    {"--status", "STATUS", "Status: 404, 5xx or 400-499", AddStatus},
    {"--min-duration", "TIME", "Shortest duration: 250ms, 1.5s, 2m", AddMinDuration},
    {"--outcome", "OUTCOME", "How it ended: complete, no_response, connection_reset, ...",
     AddOutcome},
    {"--reporter", "END", "End that reported: client or server", AddReporter},
    {"--trace-id", "ID", "Trace: 32 hex digits", AddTraceId},
    {"--header", "HEADER", "Header field of request or response: NAME, NAME:VALUE, NAME:PREFIX*",
     AddHeader},
}};

constexpr char kGroup[] = "Filters";
constexpr char kFooter[] =
    "An event must match all filters; of one that is repeated, any value. What --pod, --ip and "
    "the\n"
    "like say of either end must hold for one and the same end. Each --not is a filter of its own.";

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
        ->group(kGroup);
  }
  app.add_flag("--not")->description("Negates the next filter")->group(kGroup);
  app.footer(kFooter);
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
      if (const absl::Status status = kFlags[i].add(value.substr(1), filter); !status.ok()) {
        return absl::InvalidArgumentError(
            absl::StrFormat("%s: %s", kFlags[i].name, status.message()));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace podtap::cli
