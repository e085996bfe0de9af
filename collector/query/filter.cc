#include "collector/query/filter.h"

#include <re2/re2.h>

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "common/status.h"
#include "common/text.h"

namespace podtap::query {
namespace {

constexpr int kMaxFilters = 100;
constexpr int kMaxValues = 1000;
constexpr int kMaxExpressions = 50;
constexpr size_t kMaxValueBytes = 4096;
constexpr int64_t kMaxExpressionMemory = 1 << 20;

template <typename... Args>
absl::Status FieldError(const std::string& field, const absl::FormatSpec<Args...>& format,
                        const Args&... args) {
  return absl::InvalidArgumentError(field + ": " + absl::StrFormat(format, args...));
}

std::string Quoted(std::string_view text) { return "\"" + SafeText(text, 100) + "\""; }

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// A name exactly, or everything that starts with it.
struct NamePattern {
  std::string text;
  bool is_prefix = false;

  bool Matches(std::string_view name) const {
    return is_prefix ? StartsWith(name, text) : name == text;
  }
};

struct PodPattern {
  // Any namespace when absent.
  std::optional<std::string> name_space;
  NamePattern name;

  bool Matches(std::string_view end_namespace, std::string_view pod) const {
    return !pod.empty() && (!name_space || *name_space == end_namespace) && name.Matches(pod);
  }
};

struct EndFilter {
  std::vector<std::string> namespaces;
  std::vector<PodPattern> pods;

  bool Matches(std::string_view end_namespace, std::string_view pod) const {
    const bool namespace_matches =
        namespaces.empty() ||
        std::find(namespaces.begin(), namespaces.end(), end_namespace) != namespaces.end();
    return namespace_matches &&
           (pods.empty() || std::any_of(pods.begin(), pods.end(), [&](const PodPattern& pattern) {
              return pattern.Matches(end_namespace, pod);
            }));
  }
};

struct PathPattern {
  NamePattern name;
  // Instead of the name when set.
  std::unique_ptr<const RE2> expression;

  bool Matches(std::string_view path) const {
    return expression ? RE2::PartialMatch(re2::StringPiece(path.data(), path.size()), *expression)
                      : name.Matches(path);
  }
};

struct StatusRange {
  uint32_t first = 0;
  uint32_t last = 0;
};

struct CompiledFilter {
  std::optional<EndFilter> endpoint;
  std::optional<EndFilter> source;
  std::optional<EndFilter> destination;
  std::vector<std::string> methods;
  std::vector<PathPattern> paths;
  std::vector<StatusRange> statuses;
  std::vector<v1::Reporter> reporters;

  bool Matches(const store::EventFields& event) const;
};

template <typename Values, typename Predicate>
bool AnyOrNone(const Values& values, Predicate predicate) {
  return values.empty() || std::any_of(values.begin(), values.end(), predicate);
}

bool CompiledFilter::Matches(const store::EventFields& event) const {
  const auto source_is = [&](const EndFilter& filter) {
    return filter.Matches(event.source_namespace, event.source_pod);
  };
  const auto destination_is = [&](const EndFilter& filter) {
    return filter.Matches(event.destination_namespace, event.destination_pod);
  };
  // Cheapest first.
  return AnyOrNone(statuses,
                   [&](const StatusRange& range) {
                     return range.first <= event.status_code && event.status_code <= range.last;
                   }) &&
         AnyOrNone(reporters, [&](v1::Reporter value) { return value == event.reporter; }) &&
         AnyOrNone(methods, [&](const std::string& value) { return value == event.method; }) &&
         (!endpoint || source_is(*endpoint) || destination_is(*endpoint)) &&
         (!source || source_is(*source)) && (!destination || destination_is(*destination)) &&
         AnyOrNone(paths, [&](const PathPattern& pattern) { return pattern.Matches(event.path); });
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
    if (filter.has_endpoint()) {
      PODTAP_ASSIGN_OR_RETURN(compiled.endpoint,
                              CompileEnd(field + ".endpoint", filter.endpoint()));
    }
    if (filter.has_source()) {
      PODTAP_ASSIGN_OR_RETURN(compiled.source, CompileEnd(field + ".source", filter.source()));
    }
    if (filter.has_destination()) {
      PODTAP_ASSIGN_OR_RETURN(compiled.destination,
                              CompileEnd(field + ".destination", filter.destination()));
    }
    PODTAP_RETURN_IF_ERROR(ForEach(field + ".method", filter.method(),
                                   [&](const std::string&, const std::string& value) {
                                     compiled.methods.push_back(value);
                                     return absl::OkStatus();
                                   }));
    PODTAP_RETURN_IF_ERROR(ForEach(field + ".path", filter.path(),
                                   [&](const std::string& where, const std::string& value) {
                                     return AddPath(where, value, &compiled.paths);
                                   }));
    PODTAP_RETURN_IF_ERROR(ForEach(field + ".status", filter.status(),
                                   [&](const std::string& where, const std::string& value) {
                                     return AddStatus(where, value, &compiled.statuses);
                                   }));
    for (int i = 0; i < filter.reporter_size(); ++i) {
      const std::string where = absl::StrFormat("%s.reporter[%d]", field, i);
      if (filter.reporter(i) != v1::REPORTER_CLIENT && filter.reporter(i) != v1::REPORTER_SERVER) {
        return FieldError(where, "%d is neither REPORTER_CLIENT nor REPORTER_SERVER",
                          static_cast<int>(filter.reporter(i)));
      }
      PODTAP_RETURN_IF_ERROR(CountValue(where));
      compiled.reporters.push_back(filter.reporter(i));
    }
    return compiled;
  }

  absl::StatusOr<EndFilter> CompileEnd(const std::string& field, const v1::EndpointFilter& filter) {
    EndFilter compiled;
    PODTAP_RETURN_IF_ERROR(ForEach(field + ".namespace", filter.namespace_(),
                                   [&](const std::string&, const std::string& value) {
                                     compiled.namespaces.push_back(value);
                                     return absl::OkStatus();
                                   }));
    PODTAP_RETURN_IF_ERROR(ForEach(field + ".pod", filter.pod(),
                                   [&](const std::string& where, const std::string& value) {
                                     return AddPod(where, value, &compiled.pods);
                                   }));
    return compiled;
  }

  template <typename Add>
  absl::Status ForEach(const std::string& field,
                       const google::protobuf::RepeatedPtrField<std::string>& values, Add add) {
    for (int i = 0; i < values.size(); ++i) {
      const std::string where = absl::StrFormat("%s[%d]", field, i);
      PODTAP_RETURN_IF_ERROR(CountValue(where));
      if (values[i].size() > kMaxValueBytes) {
        return FieldError(where, "longer than %d bytes", kMaxValueBytes);
      }
      PODTAP_RETURN_IF_ERROR(add(where, values[i]));
    }
    return absl::OkStatus();
  }

  absl::Status CountValue(const std::string& field) {
    return ++values_ > kMaxValues
               ? FieldError(field, "more than %d values in all filters", kMaxValues)
               : absl::OkStatus();
  }

  static NamePattern ToPattern(std::string_view value) {
    const bool is_prefix = !value.empty() && value.back() == '*';
    return {std::string(value.substr(0, value.size() - (is_prefix ? 1 : 0))), is_prefix};
  }

  static absl::Status AddPod(const std::string& field, const std::string& value,
                             std::vector<PodPattern>* pods) {
    PodPattern pattern;
    std::string_view name = value;
    if (const size_t slash = name.find('/'); slash != std::string_view::npos) {
      pattern.name_space = name.substr(0, slash);
      name.remove_prefix(slash + 1);
    }
    if (name.empty() || name.find('/') != std::string_view::npos) {
      return FieldError(field, "%s is neither NAME, PREFIX* nor NAMESPACE/NAME", Quoted(value));
    }
    pattern.name = ToPattern(name);
    pods->push_back(std::move(pattern));
    return absl::OkStatus();
  }

  absl::Status AddPath(const std::string& field, const std::string& value,
                       std::vector<PathPattern>* paths) {
    PathPattern pattern;
    if (!value.empty() && value[0] == '~') {
      if (++expressions_ > kMaxExpressions) {
        return FieldError(field, "more than %d expressions in all filters", kMaxExpressions);
      }
      RE2::Options options;
      options.set_log_errors(false);
      options.set_max_mem(kMaxExpressionMemory);
      pattern.expression = std::make_unique<RE2>(value.substr(1), options);
      if (!pattern.expression->ok()) {
        return FieldError(field, "%s is not an RE2 expression: %s", Quoted(value.substr(1)),
                          SafeText(pattern.expression->error(), 200));
      }
    } else if (value == "*") {
      // The asterisk form of OPTIONS; as a prefix it would say nothing.
      pattern.name = {value, false};
    } else {
      pattern.name = ToPattern(value);
    }
    paths->push_back(std::move(pattern));
    return absl::OkStatus();
  }

  // Three digits; nullopt for anything else.
  static std::optional<uint32_t> ParseStatus(std::string_view text) {
    if (text.size() != 3 || text[0] == '0' ||
        !std::all_of(text.begin(), text.end(), absl::ascii_isdigit)) {
      return std::nullopt;
    }
    return static_cast<uint32_t>((text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0'));
  }

  static absl::Status AddStatus(const std::string& field, const std::string& value,
                                std::vector<StatusRange>* statuses) {
    const std::string_view text = value;
    std::optional<uint32_t> first = ParseStatus(text);
    std::optional<uint32_t> last = first;
    if (text.size() == 3 && (text.substr(1) == "xx" || text.substr(1) == "XX")) {
      first = ParseStatus(std::string{text[0], '0', '0'});
      last = ParseStatus(std::string{text[0], '9', '9'});
    } else if (text.size() == 7 && text[3] == '-') {
      first = ParseStatus(text.substr(0, 3));
      last = ParseStatus(text.substr(4));
    }
    if (!first || !last || *first > *last) {
      return FieldError(field, "%s is neither a status (404), a class (5xx) nor a range (400-499)",
                        Quoted(value));
    }
    statuses->push_back({*first, *last});
    return absl::OkStatus();
  }

  int values_ = 0;
  int expressions_ = 0;
};

bool AnyMatches(const std::vector<CompiledFilter>& filters, const store::EventFields& event) {
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

bool EventMatcher::Matches(const store::EventFields& event) const {
  return (filters_->include.empty() || AnyMatches(filters_->include, event)) &&
         !AnyMatches(filters_->exclude, event);
}

}  // namespace podtap::query
