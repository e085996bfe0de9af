#include "collector/query/filter.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "common/filter_values.h"
#include "common/ip_address.h"
#include "common/status.h"

namespace podtap::query {
namespace {

constexpr int kMaxFilters = 100;
constexpr int kMaxValues = 1000;
constexpr int kMaxExpressions = 50;
constexpr size_t kMaxValueBytes = 4096;
constexpr int64_t kNsPerSecond = 1'000'000'000;

template <typename... Args>
absl::Status FieldError(const std::string& field, const absl::FormatSpec<Args...>& format,
                        const Args&... args) {
  return absl::InvalidArgumentError(field + ": " + absl::StrFormat(format, args...));
}

// Values of one field: one of them is enough, and none asks for nothing.
template <typename Values, typename Predicate>
bool AnyOrNone(const Values& values, Predicate predicate) {
  return values.empty() || std::any_of(values.begin(), values.end(), predicate);
}

template <typename Values, typename Value>
bool HoldsOrEmpty(const Values& values, const Value& value) {
  return AnyOrNone(values, [&](const auto& wanted) { return wanted == value; });
}

enum class End { kSource, kDestination };

struct EndFilter {
  std::vector<std::string> namespaces;
  std::vector<ScopedPattern> pods;
  std::vector<ScopedPattern> workloads;
  std::vector<NamePattern> services;
  std::vector<LabelPattern> labels;
  std::vector<IpPrefix> ips;
  std::vector<uint32_t> ports;

  bool Matches(store::EventView& event, End end) const;
};

bool NamesMatch(const std::vector<ScopedPattern>& patterns, const std::string& name_space,
                const std::string& name) {
  return AnyOrNone(patterns,
                   [&](const ScopedPattern& pattern) { return pattern.Matches(name_space, name); });
}

bool LabelsMatch(const std::vector<LabelPattern>& patterns, const v1::Endpoint& endpoint) {
  const auto find = [&](const std::string& key) {
    const auto label = endpoint.labels().find(key);
    return label == endpoint.labels().end() ? nullptr : &label->second;
  };
  return AnyOrNone(patterns, [&](const LabelPattern& pattern) { return pattern.Matches(find); });
}

// Cheapest first, as in all that follows.
bool EndFilter::Matches(store::EventView& event, End end) const {
  const v1::Endpoint& endpoint = end == End::kSource ? event.source() : event.destination();
  const auto in_ips = [&] {
    const std::optional<IpAddress> address = IpAddress::Parse(endpoint.ip());
    return address && std::any_of(ips.begin(), ips.end(), [&](const IpPrefix& prefix) {
             return prefix.Contains(*address);
           });
  };
  const auto in_ports = [&] {
    const v1::BatchEvent& details = event.details();
    return HoldsOrEmpty(ports,
                        end == End::kSource ? details.source_port() : details.destination_port());
  };
  const auto in_services = [&](const NamePattern& pattern) {
    return !endpoint.service_name().empty() && pattern.Matches(endpoint.service_name());
  };
  return HoldsOrEmpty(namespaces, endpoint.namespace_()) &&
         NamesMatch(pods, endpoint.namespace_(), endpoint.pod_name()) &&
         NamesMatch(workloads, endpoint.namespace_(), endpoint.workload().name()) &&
         AnyOrNone(services, in_services) && LabelsMatch(labels, endpoint) &&
         (ips.empty() || in_ips()) && (ports.empty() || in_ports());
}

struct CompiledFilter {
  std::optional<EndFilter> endpoint;
  std::optional<EndFilter> source;
  std::optional<EndFilter> destination;
  std::vector<std::string> methods;
  std::vector<PathPattern> paths;
  std::vector<StatusRange> statuses;
  std::vector<v1::Reporter> reporters;
  std::vector<NamePattern> nodes;
  std::vector<HostPattern> hosts;
  uint64_t min_duration_ns = 0;
  std::vector<v1::Outcome> outcomes;
  std::vector<std::string> trace_ids;
  std::vector<HeaderPattern> headers;

  bool Matches(store::EventView& event) const;
  bool EndsMatch(store::EventView& event) const;
  bool DetailsMatch(store::EventView& event) const;
};

bool CompiledFilter::Matches(store::EventView& event) const {
  return AnyOrNone(statuses,
                   [&](const StatusRange& range) { return range.Contains(event.status_code()); }) &&
         HoldsOrEmpty(reporters, event.reporter()) &&
         (methods.empty() || HoldsOrEmpty(methods, event.method())) &&
         AnyOrNone(
             nodes,
             [&](const NamePattern& pattern) { return pattern.Matches(event.node_name()); }) &&
         EndsMatch(event) &&
         AnyOrNone(paths,
                   [&](const PathPattern& pattern) { return pattern.Matches(event.path()); }) &&
         DetailsMatch(event);
}

bool CompiledFilter::EndsMatch(store::EventView& event) const {
  return (!source || source->Matches(event, End::kSource)) &&
         (!destination || destination->Matches(event, End::kDestination)) &&
         (!endpoint || endpoint->Matches(event, End::kSource) ||
          endpoint->Matches(event, End::kDestination));
}

bool HeadersMatch(const google::protobuf::RepeatedField<uint32_t>& ids, store::EventView& event,
                  const std::vector<HeaderPattern>& patterns) {
  for (int i = 0; i + 1 < ids.size(); i += 2) {
    const std::string_view name = event.text(ids[i]);
    const bool matches =
        std::any_of(patterns.begin(), patterns.end(), [&](const HeaderPattern& pattern) {
          return pattern.name == name && pattern.MatchesValue(event.text(ids[i + 1]));
        });
    if (matches) {
      return true;
    }
  }
  return false;
}

bool CompiledFilter::DetailsMatch(store::EventView& event) const {
  if (min_duration_ns == 0 && outcomes.empty() && hosts.empty() && trace_ids.empty() &&
      headers.empty()) {
    return true;
  }
  const v1::BatchEvent& details = event.details();
  return details.end_ns() >= min_duration_ns && HoldsOrEmpty(outcomes, details.outcome()) &&
         AnyOrNone(hosts,
                   [&](const HostPattern& pattern) {
                     return pattern.Matches(event.text(details.host_string()));
                   }) &&
         (trace_ids.empty() || HoldsOrEmpty(trace_ids, event.text(details.trace_id_string()))) &&
         (headers.empty() || HeadersMatch(details.request_header_strings(), event, headers) ||
          HeadersMatch(details.response_header_strings(), event, headers));
}

// Compiles the filters of one request; counts their values against the bound.
class Compiler {
 public:
  absl::StatusOr<std::vector<CompiledFilter>> Compile(const std::string& name,
                                                      const EventFilters& filters) {
    if (filters.size() > kMaxFilters) {
      return FieldError(name, "more than %d filters", kMaxFilters);
    }
    std::vector<CompiledFilter> compiled;
    for (int i = 0; i < filters.size(); ++i) {
      PODTAP_ASSIGN_OR_RETURN(CompiledFilter filter,
                              CompileOne(absl::StrFormat("%s[%d]", name, i), filters[i]));
      compiled.push_back(std::move(filter));
    }
    return compiled;
  }

 private:
  absl::StatusOr<CompiledFilter> CompileOne(const std::string& field,
                                            const v1::EventFilter& filter) {
    CompiledFilter compiled;
    PODTAP_RETURN_IF_ERROR(CompileEnds(field, filter, &compiled));
    PODTAP_RETURN_IF_ERROR(Take(field + ".method", filter.method(), Same, &compiled.methods));
    PODTAP_RETURN_IF_ERROR(Take(
        field + ".path", filter.path(), [this](const std::string& value) { return Path(value); },
        &compiled.paths));
    PODTAP_RETURN_IF_ERROR(
        Take(field + ".status", filter.status(), StatusRange::Parse, &compiled.statuses));
    PODTAP_RETURN_IF_ERROR(
        Take(field + ".reporter", filter.reporter(), Reporter, &compiled.reporters));
    PODTAP_RETURN_IF_ERROR(Take(field + ".node", filter.node(), NamePattern::Of, &compiled.nodes));
    PODTAP_RETURN_IF_ERROR(
        Take(field + ".host", filter.host(), HostPattern::Parse, &compiled.hosts));
    PODTAP_RETURN_IF_ERROR(
        CompileDuration(field + ".min_duration", filter, &compiled.min_duration_ns));
    PODTAP_RETURN_IF_ERROR(Take(field + ".outcome", filter.outcome(), Outcome, &compiled.outcomes));
    PODTAP_RETURN_IF_ERROR(
        Take(field + ".trace_id", filter.trace_id(), ParseTraceIdFilter, &compiled.trace_ids));
    PODTAP_RETURN_IF_ERROR(
        Take(field + ".header", filter.header(), HeaderPattern::Parse, &compiled.headers));
    return compiled;
  }

  absl::Status CompileEnds(const std::string& field, const v1::EventFilter& filter,
                           CompiledFilter* compiled) {
    if (filter.has_endpoint()) {
      PODTAP_ASSIGN_OR_RETURN(compiled->endpoint,
                              CompileEnd(field + ".endpoint", filter.endpoint()));
    }
    if (filter.has_source()) {
      PODTAP_ASSIGN_OR_RETURN(compiled->source, CompileEnd(field + ".source", filter.source()));
    }
    if (filter.has_destination()) {
      PODTAP_ASSIGN_OR_RETURN(compiled->destination,
                              CompileEnd(field + ".destination", filter.destination()));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<EndFilter> CompileEnd(const std::string& field, const v1::EndpointFilter& filter) {
    EndFilter compiled;
    PODTAP_RETURN_IF_ERROR(
        Take(field + ".namespace", filter.namespace_(), Same, &compiled.namespaces));
    PODTAP_RETURN_IF_ERROR(
        Take(field + ".pod", filter.pod(), ScopedPattern::Parse, &compiled.pods));
    PODTAP_RETURN_IF_ERROR(
        Take(field + ".workload", filter.workload(), ScopedPattern::Parse, &compiled.workloads));
    PODTAP_RETURN_IF_ERROR(
        Take(field + ".service", filter.service(), NonEmptyName, &compiled.services));
    PODTAP_RETURN_IF_ERROR(
        Take(field + ".label", filter.label(), LabelPattern::Parse, &compiled.labels));
    PODTAP_RETURN_IF_ERROR(Take(field + ".ip", filter.ip(), ParseIpFilter, &compiled.ips));
    PODTAP_RETURN_IF_ERROR(Take(field + ".port", filter.port(), Port, &compiled.ports));
    return compiled;
  }

  // Puts what `parse` makes of each value behind `out`.
  template <typename Values, typename Parse, typename Out>
  absl::Status Take(const std::string& field, const Values& values, Parse parse, Out* out) {
    for (int i = 0; i < values.size(); ++i) {
      const std::string where = absl::StrFormat("%s[%d]", field, i);
      if (++values_ > kMaxValues) {
        return FieldError(where, "more than %d values in all filters", kMaxValues);
      }
      if (SizeOf(values[i]) > kMaxValueBytes) {
        return FieldError(where, "longer than %d bytes", kMaxValueBytes);
      }
      absl::StatusOr<typename Out::value_type> parsed = parse(values[i]);
      if (!parsed.ok()) {
        return FieldError(where, "%s", parsed.status().message());
      }
      out->push_back(*std::move(parsed));
    }
    return absl::OkStatus();
  }

  static absl::Status CompileDuration(const std::string& field, const v1::EventFilter& filter,
                                      uint64_t* ns) {
    const int64_t seconds = filter.min_duration().seconds();
    const int64_t nanos = filter.min_duration().nanos();
    if (seconds < 0 || seconds >= std::numeric_limits<int64_t>::max() / kNsPerSecond || nanos < 0 ||
        nanos >= kNsPerSecond) {
      return FieldError(field, "is negative or out of range");
    }
    *ns = static_cast<uint64_t>(seconds * kNsPerSecond + nanos);
    return absl::OkStatus();
  }

  static size_t SizeOf(const std::string& value) { return value.size(); }
  static size_t SizeOf(int64_t) { return 0; }

  static absl::StatusOr<NamePattern> NonEmptyName(const std::string& value) {
    if (value.empty()) {
      return absl::InvalidArgumentError("is empty");
    }
    return NamePattern::Of(value);
  }

  static absl::StatusOr<std::string> Same(const std::string& value) { return value; }

  absl::StatusOr<PathPattern> Path(const std::string& value) {
    if (value.starts_with('~') && ++expressions_ > kMaxExpressions) {
      return absl::InvalidArgumentError(
          absl::StrFormat("more than %d expressions in all filters", kMaxExpressions));
    }
    return PathPattern::Parse(value);
  }

  static absl::StatusOr<uint32_t> Port(uint32_t value) {
    if (value < 1 || value > 65'535) {
      return absl::InvalidArgumentError(absl::StrFormat("%d is not a port from 1 to 65535", value));
    }
    return value;
  }

  static absl::StatusOr<v1::Reporter> Reporter(int value) {
    if (value != v1::REPORTER_CLIENT && value != v1::REPORTER_SERVER) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%d is neither REPORTER_CLIENT nor REPORTER_SERVER", value));
    }
    return static_cast<v1::Reporter>(value);
  }

  static absl::StatusOr<v1::Outcome> Outcome(int value) {
    if (value == v1::OUTCOME_UNSPECIFIED || !v1::Outcome_IsValid(value)) {
      return absl::InvalidArgumentError(absl::StrFormat("%d is no outcome", value));
    }
    return static_cast<v1::Outcome>(value);
  }

  int values_ = 0;
  int expressions_ = 0;
};

bool AnyMatches(const std::vector<CompiledFilter>& filters, store::EventView& event) {
  return std::any_of(filters.begin(), filters.end(),
                     [&](const CompiledFilter& filter) { return filter.Matches(event); });
}

}  // namespace

struct EventMatcher::Filters {
  std::vector<CompiledFilter> include;
  std::vector<CompiledFilter> exclude;
};

EventMatcher::EventMatcher(std::unique_ptr<const Filters> filters) : filters_(std::move(filters)) {}
EventMatcher::EventMatcher(EventMatcher&&) noexcept = default;
EventMatcher& EventMatcher::operator=(EventMatcher&&) noexcept = default;
EventMatcher::~EventMatcher() = default;

absl::StatusOr<EventMatcher> EventMatcher::Compile(const EventFilters& include,
                                                   const EventFilters& exclude) {
  Compiler compiler;
  auto filters = std::make_unique<Filters>();
  PODTAP_ASSIGN_OR_RETURN(filters->include, compiler.Compile("include", include));
  PODTAP_ASSIGN_OR_RETURN(filters->exclude, compiler.Compile("exclude", exclude));
  return EventMatcher(std::move(filters));
}

bool EventMatcher::Matches(store::EventView& event) const {
  return (filters_->include.empty() || AnyMatches(filters_->include, event)) &&
         !AnyMatches(filters_->exclude, event);
}

}  // namespace podtap::query
