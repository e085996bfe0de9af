#include "common/filter_values.h"

#include <re2/re2.h>

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "common/text.h"

namespace podtap {
namespace {

constexpr int64_t kMaxExpressionMemory = 1 << 20;

absl::Status Unlike(std::string_view value, const char* what) {
  return absl::InvalidArgumentError(absl::StrFormat("\"%s\" is %s", SafeText(value, 100), what));
}

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

bool EndsWith(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

std::string Lower(std::string_view text) {
  return absl::AsciiStrToLower(absl::string_view(text.data(), text.size()));
}

bool AllDigits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), absl::ascii_isdigit);
}

// tchar of RFC 9110 section 5.6.2.
bool IsTokenByte(unsigned char byte) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return absl::ascii_isalnum(byte) || kMarks.find(static_cast<char>(byte)) != kMarks.npos;
}

struct Authority {
  std::string_view host;
  std::optional<std::string_view> port;
};

// The port is what follows the last colon, which is not one inside [].
Authority SplitAuthority(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || !AllDigits(text.substr(colon + 1))) {
    return {text, std::nullopt};
  }
  return {text.substr(0, colon), text.substr(colon + 1)};
}

// Three digits; nullopt for anything else.
std::optional<uint32_t> ParseStatus(std::string_view text) {
  if (text.size() != 3 || text[0] == '0' || !AllDigits(text)) {
    return std::nullopt;
  }
  return static_cast<uint32_t>((text[0] - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0'));
}

}  // namespace

NamePattern NamePattern::Of(std::string_view value) {
  const bool is_prefix = !value.empty() && value.back() == '*';
  return {std::string(value.substr(0, value.size() - (is_prefix ? 1 : 0))), is_prefix};
}

bool NamePattern::Matches(std::string_view name) const {
  return is_prefix ? StartsWith(name, text) : name == text;
}

absl::StatusOr<ScopedPattern> ScopedPattern::Parse(std::string_view value) {
  ScopedPattern pattern;
  std::string_view name = value;
  if (const size_t slash = name.find('/'); slash != std::string_view::npos) {
    pattern.name_space = name.substr(0, slash);
    name.remove_prefix(slash + 1);
  }
  if (name.empty() || name.find('/') != std::string_view::npos) {
    return Unlike(value, "neither NAME, PREFIX* nor NAMESPACE/NAME");
  }
  pattern.name = NamePattern::Of(name);
  return pattern;
}

bool ScopedPattern::Matches(std::string_view end_namespace, std::string_view end_name) const {
  return !end_name.empty() && (!name_space || *name_space == end_namespace) &&
         name.Matches(end_name);
}

PathPattern::PathPattern() = default;
PathPattern::PathPattern(PathPattern&&) noexcept = default;
PathPattern& PathPattern::operator=(PathPattern&&) noexcept = default;
PathPattern::~PathPattern() = default;

absl::StatusOr<PathPattern> PathPattern::Parse(std::string_view value) {
  PathPattern pattern;
  if (!value.empty() && value[0] == '~') {
    const std::string_view text = value.substr(1);
    RE2::Options options;
    options.set_log_errors(false);
    options.set_max_mem(kMaxExpressionMemory);
    auto expression =
        std::make_unique<const RE2>(re2::StringPiece(text.data(), text.size()), options);
    if (!expression->ok()) {
      return Unlike(text, ("not an RE2 expression: " + SafeText(expression->error(), 200)).c_str());
    }
    pattern.expression_ = std::move(expression);
  } else if (value == "*") {
    // The asterisk form of OPTIONS; as a prefix it would say nothing.
    pattern.name_ = {std::string(value), false};
  } else {
    pattern.name_ = NamePattern::Of(value);
  }
  return pattern;
}

bool PathPattern::Matches(std::string_view path) const {
  return expression_ ? RE2::PartialMatch(re2::StringPiece(path.data(), path.size()), *expression_)
                     : name_.Matches(path);
}

absl::StatusOr<StatusRange> StatusRange::Parse(std::string_view value) {
  std::optional<uint32_t> first = ParseStatus(value);
  std::optional<uint32_t> last = first;
  if (value.size() == 3 && (EndsWith(value, "xx") || EndsWith(value, "XX"))) {
    first = ParseStatus(std::string{value[0], '0', '0'});
    last = ParseStatus(std::string{value[0], '9', '9'});
  } else if (value.size() == 7 && value[3] == '-') {
    first = ParseStatus(value.substr(0, 3));
    last = ParseStatus(value.substr(4));
  }
  if (!first || !last || *first > *last) {
    return Unlike(value, "neither a status (404), a class (5xx) nor a range (400-499)");
  }
  return StatusRange{*first, *last};
}

absl::StatusOr<HostPattern> HostPattern::Parse(std::string_view value) {
  const Authority authority = SplitAuthority(value);
  HostPattern pattern;
  pattern.host = Lower(authority.host);
  if (authority.port) {
    pattern.port = *authority.port;
  }
  if (StartsWith(pattern.host, "*.")) {
    pattern.is_suffix = true;
    pattern.host.erase(0, 1);
  }
  const bool is_bracketed = StartsWith(pattern.host, "[") && EndsWith(pattern.host, "]");
  if (pattern.host.empty() || pattern.host == "." || pattern.host.find('*') != std::string::npos ||
      (!is_bracketed && pattern.host.find(':') != std::string::npos)) {
    return Unlike(value, "neither HOST, HOST:PORT nor *.DOMAIN (IPv6 in brackets)");
  }
  return pattern;
}

bool HostPattern::Matches(std::string_view authority) const {
  const Authority event = SplitAuthority(authority);
  if (port && event.port != std::string_view(*port)) {
    return false;
  }
  const absl::string_view name(event.host.data(), event.host.size());
  return is_suffix ? name.size() > host.size() && absl::EndsWithIgnoreCase(name, host)
                   : absl::EqualsIgnoreCase(name, host);
}

absl::StatusOr<HeaderPattern> HeaderPattern::Parse(std::string_view text) {
  const size_t colon = std::min(text.find(':'), text.size());
  HeaderPattern pattern;
  pattern.name = Lower(text.substr(0, colon));
  if (pattern.name.empty() || !std::all_of(pattern.name.begin(), pattern.name.end(), IsTokenByte)) {
    return Unlike(text, "neither NAME nor NAME:VALUE of a header field");
  }
  if (colon < text.size()) {
    const absl::string_view value = absl::StripAsciiWhitespace(
        absl::string_view(text.data() + colon + 1, text.size() - colon - 1));
    pattern.value = NamePattern::Of({value.data(), value.size()});
  }
  return pattern;
}

bool HeaderPattern::MatchesValue(std::string_view field_value) const {
  return !value || value->Matches(field_value);
}

absl::StatusOr<LabelPattern> LabelPattern::Parse(std::string_view text) {
  // What Kubernetes allows in a key.
  const auto is_key_byte = [](unsigned char byte) {
    return absl::ascii_isalnum(byte) || byte == '-' || byte == '_' || byte == '.' || byte == '/';
  };
  LabelPattern pattern;
  for (const absl::string_view part :
       absl::StrSplit(absl::string_view(text.data(), text.size()), ',')) {
    const std::string_view term(part.data(), part.size());
    const size_t equals = std::min(term.find('='), term.size());
    const std::string_view key = term.substr(0, equals);
    if (key.empty() || !std::all_of(key.begin(), key.end(), is_key_byte)) {
      return Unlike(text, "neither KEY nor KEY=VALUE of a label, nor several joined by commas");
    }
    Term& added = pattern.terms.emplace_back();
    added.key = key;
    if (equals < term.size()) {
      added.value = NamePattern::Of(term.substr(equals + 1));
    }
  }
  return pattern;
}

absl::StatusOr<IpPrefix> ParseIpFilter(std::string_view value) {
  const std::optional<IpPrefix> prefix = IpPrefix::Parse(value);
  if (!prefix) {
    return Unlike(value, "neither an IP address nor a range like 10.0.0.0/8 or fd00::/8");
  }
  return *prefix;
}

absl::StatusOr<std::string> ParseTraceIdFilter(std::string_view value) {
  constexpr size_t kDigits = 32;
  if (value.size() != kDigits || !std::all_of(value.begin(), value.end(), absl::ascii_isxdigit)) {
    return Unlike(value, "not a trace id of 32 hex digits");
  }
  return Lower(value);
}

}  // namespace podtap
