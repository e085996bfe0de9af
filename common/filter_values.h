// Values of event filters: what they may look like and what they match. The collector matches by
// them; the client checks them before it connects.
//
// Parse functions return kInvalidArgument with a message that quotes the value and says what it has
// to look like; the caller puts the name of its field or flag in front.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/ip_prefix.h"

namespace re2 {
class RE2;
}

namespace podtap {

// NAME exactly, or PREFIX* for everything that starts with it.
struct NamePattern {
  std::string text;
  bool is_prefix = false;

  static NamePattern Of(std::string_view value);
  bool Matches(std::string_view name) const;
};

// NAME of a pod or a workload, PREFIX*, or NAMESPACE/ in front of either.
struct ScopedPattern {
  // Any namespace when absent.
  std::optional<std::string> name_space;
  NamePattern name;

  static absl::StatusOr<ScopedPattern> Parse(std::string_view value);
  // No pattern matches an end that has no such name.
  bool Matches(std::string_view end_namespace, std::string_view end_name) const;
};

// A path exactly, /PREFIX*, or ~EXPRESSION: an RE2 expression that matches somewhere in the path.
class PathPattern {
 public:
  static absl::StatusOr<PathPattern> Parse(std::string_view value);
  PathPattern(PathPattern&&) noexcept;
  PathPattern& operator=(PathPattern&&) noexcept;
  ~PathPattern();

  bool Matches(std::string_view path) const;

 private:
  PathPattern();

  NamePattern name_;
  // Instead of the name when set. Bounded in memory; takes time in proportion to the path.
  std::unique_ptr<const re2::RE2> expression_;
};

// "404", a class "5xx", or a range "400-499".
struct StatusRange {
  uint32_t first = 0;
  uint32_t last = 0;

  static absl::StatusOr<StatusRange> Parse(std::string_view value);
  bool Contains(uint32_t status) const { return first <= status && status <= last; }
};

// HOST whatever its port, HOST:PORT, or *.DOMAIN in place of HOST for every name below DOMAIN.
// Upper and lower case are the same.
struct HostPattern {
  // In lower case; with the leading dot when is_suffix.
  std::string host;
  bool is_suffix = false;
  // Any port when absent.
  std::optional<std::string> port;

  static absl::StatusOr<HostPattern> Parse(std::string_view value);
  bool Matches(std::string_view authority) const;
};

// NAME for a header field that is there, or NAME:VALUE with VALUE as NamePattern.
struct HeaderPattern {
  // In lower case, as in events.
  std::string name;
  // Any value when absent.
  std::optional<NamePattern> value;

  static absl::StatusOr<HeaderPattern> Parse(std::string_view text);
  bool MatchesValue(std::string_view field_value) const;
};

// KEY for a label that is there, KEY=VALUE with VALUE as NamePattern; several that must all hold
// are joined by commas.
struct LabelPattern {
  struct Term {
    std::string key;
    // Any value when absent.
    std::optional<NamePattern> value;
  };
  std::vector<Term> terms;

  static absl::StatusOr<LabelPattern> Parse(std::string_view text);
  // `find(key)` gives a pointer to the label's value, or null where there is no such label.
  template <typename Find>
  bool Matches(Find find) const {
    return std::all_of(terms.begin(), terms.end(), [&](const Term& term) {
      const std::string* value = find(term.key);
      return value != nullptr && (!term.value || term.value->Matches(*value));
    });
  }
};

absl::StatusOr<IpPrefix> ParseIpFilter(std::string_view value);

// 32 hex digits; in lower case as in events.
absl::StatusOr<std::string> ParseTraceIdFilter(std::string_view value);

}  // namespace podtap
