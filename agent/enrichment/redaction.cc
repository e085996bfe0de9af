#include "agent/enrichment/redaction.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "common/ip_address.h"
#include "common/secret_name.h"
#include "common/text.h"

namespace podtap::enrichment {
namespace {

constexpr size_t npos = std::string_view::npos;

// A set of bytes. The searches of std::string_view for one of several cost a call per byte.
class ByteSet {
 public:
  constexpr explicit ByteSet(std::string_view bytes) {
    for (const char c : bytes) {
      has_[static_cast<uint8_t>(c)] = true;
    }
  }
  constexpr bool Has(char c) const { return has_[static_cast<uint8_t>(c)]; }
  // Where the first of the set stands in `text`, else its size.
  size_t FindIn(std::string_view text) const {
    size_t i = 0;
    while (i < text.size() && !Has(text[i])) {
      ++i;
    }
    return i;
  }

 private:
  std::array<bool, 256> has_{};
};

constexpr ByteSet kAt("@");
constexpr ByteSet kEquals("=");
constexpr ByteSet kSegmentEnds(";/");
constexpr ByteSet kNotInKeys("=&%@/;?");
constexpr ByteSet kAuthorityEnds("/\\?#, \t\r\n");
constexpr ByteSet kPathPeculiarities(";%");
constexpr ByteSet kUriDelimiters("/?#");
constexpr ByteSet kIpLiteral("0123456789abcdefABCDEFvV:.%");

// Header fields whose values are URLs. They are not on the default list.
constexpr std::array<std::string_view, 8> kUrlHeaders = {
    "content-location", "location",       "origin",         "referer",
    "x-forwarded-uri",  "x-original-uri", "x-original-url", "x-rewrite-url"};

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool EqualsIgnoreCase(std::string_view text, std::string_view lower) {
  return text.size() == lower.size() && std::equal(text.begin(), text.end(), lower.begin(),
                                                   [](char a, char b) { return Lower(a) == b; });
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsAlpha(char c) { return Lower(c) >= 'a' && Lower(c) <= 'z'; }

// A delimiter, written as itself or percent-encoded, or any other byte.
struct Token {
  char value;
  size_t size;
};

int HexValue(char c) {
  if (IsDigit(c)) {
    return c - '0';
  }
  c = Lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Reads the token at `text[i]`.
Token ReadToken(std::string_view text, size_t i) {
  if (text[i] != '%' || i + 2 >= text.size()) {
    return {text[i], 1};
  }
  const int high = HexValue(text[i + 1]);
  const int low = HexValue(text[i + 2]);
  if (high < 0 || low < 0) {
    return {'%', 1};
  }
  return {static_cast<char>(high << 4 | low), 3};
}

// Where the first of `delimiters` stands, as itself or percent-encoded.
size_t FindToken(std::string_view text, const ByteSet& delimiters, size_t from = 0) {
  for (size_t i = from; i < text.size();) {
    const Token token = ReadToken(text, i);
    if (delimiters.Has(token.value)) {
      return i;
    }
    i += token.size;
  }
  return npos;
}

// What follows the user-info, if there is one.
std::string_view WithoutUserInfo(std::string_view authority) {
  for (size_t at = FindToken(authority, kAt); at != npos; at = FindToken(authority, kAt)) {
    authority.remove_prefix(at + ReadToken(authority, at).size);
  }
  return authority;
}

bool IsPort(std::string_view text) {
  return text.size() <= 5 && std::all_of(text.begin(), text.end(), IsDigit);
}

// "name", "name:port", "[v6]", "[v6]:port" or a bare IP address.
bool LooksLikeHostAndPort(std::string_view host) {
  if (host.starts_with('[')) {
    const size_t end = host.find(']');
    const auto in_literal = [](char c) { return kIpLiteral.Has(c); };
    if (end == npos || !std::all_of(host.begin() + 1, host.begin() + end, in_literal)) {
      return false;
    }
    const std::string_view rest = host.substr(end + 1);
    return rest.empty() || (rest.starts_with(':') && IsPort(rest.substr(1)));
  }
  const size_t colon = host.find(':');
  return colon == npos || IsPort(host.substr(colon + 1)) || IpAddress::Parse(host).has_value();
}

// Size of "scheme:" (RFC 3986 section 3.1) before "//"; 0 when the target is in no absolute form.
size_t SchemeSize(std::string_view target) {
  const size_t colon = target.find("://");
  if (colon == npos || colon == 0 || !IsAlpha(target[0])) {
    return 0;
  }
  const std::string_view scheme = target.substr(0, colon);
  const bool valid = std::all_of(scheme.begin(), scheme.end(), [](char c) {
    return IsAlpha(c) || IsDigit(c) || c == '+' || c == '-' || c == '.';
  });
  return valid ? colon + 1 : 0;
}

// A token that only ends in "=" because base64 is padded with it.
bool LooksLikePaddedBase64(std::string_view token) {
  if (token.ends_with("==")) {
    return true;
  }
  constexpr size_t kShortest = 16;
  return token.ends_with('=') && token.size() >= kShortest && token.size() % 4 == 0;
}

// The key of one "key=value" of a query; empty when the token can't be trusted to have one.
std::string_view QueryKey(std::string_view token) {
  const size_t end = token.find('=');
  if (end == npos || end > kMaxQueryKeyBytes || LooksLikePaddedBase64(token)) {
    return {};
  }
  const std::string_view key = token.substr(0, end);
  // None of these is a part of a name, encoded or not; what has one may be a value or a URL.
  return FindToken(key, kNotInKeys) == npos ? key : std::string_view();
}

// Writes a path without what may be secret in it. One pass; see AppendSafePath().
class PathCleaner {
 public:
  explicit PathCleaner(std::string_view path) : path_(path) {}

  std::string Clean() {
    // Neither origin form nor asterisk: an authority may stand at the front.
    for (size_t i = path_.starts_with('/') ? 0 : SkipUserInfo(0, true); i < path_.size();) {
      const Token token = ReadToken(path_, i);
      const std::string_view raw = path_.substr(i, token.size);
      i = Take(token.value, raw, i + token.size);
      previous_ = token.value;
    }
    return std::move(clean_);
  }

 private:
  // Takes one token; returns where to go on.
  size_t Take(char value, std::string_view raw, size_t next) {
    clean_ += raw;
    if (value == '/') {
      parameter_begin_ = npos;
      const bool authority_follows = previous_ == '/' || previous_ == ':';
      return authority_follows ? SkipUserInfo(next, raw.size() == 1) : next;
    }
    if (value == ';') {
      parameter_begin_ = clean_.size();
    } else if (value == '=' && parameter_begin_ != npos) {
      return TakeParameterValue(raw.size(), next);
    } else if (value == '?' && FindToken(path_, kEquals, next) != npos) {
      clean_ += kRedacted;
      return path_.size();
    }
    return next;
  }

  // Where the host begins of an authority at `begin`. Behind a slash that is itself, one that is
  // encoded may be part of a password.
  size_t SkipUserInfo(size_t begin, bool after_plain_slash) const {
    size_t host = begin;
    for (size_t i = begin; i < path_.size();) {
      const Token token = ReadToken(path_, i);
      if (token.value == '/' && (token.size == 1 || !after_plain_slash)) {
        break;
      }
      i += token.size;
      if (token.value == '@') {
        host = i;
      }
    }
    return host;
  }

  size_t TakeParameterValue(size_t equals_size, size_t next) {
    const std::string_view name = std::string_view(clean_).substr(
        parameter_begin_, clean_.size() - parameter_begin_ - equals_size);
    parameter_begin_ = npos;
    if (!SmellsOfSecret(name) && name.find('%') == npos) {
      return next;
    }
    clean_ += kRedacted;
    return std::min(FindToken(path_, kSegmentEnds, next), path_.size());
  }

  const std::string_view path_;
  std::string clean_;
  char previous_ = '\0';
  // In `clean_`.
  size_t parameter_begin_ = npos;
};

}  // namespace

TargetParts SplitTarget(std::string_view method, std::string_view target) {
  TargetParts parts;
  if (method == "CONNECT") {
    parts.authority = target;
    return parts;
  }
  if (const size_t scheme = SchemeSize(target); scheme > 0) {
    target.remove_prefix(scheme + 2);
    const size_t slash = std::min(target.find('/'), target.size());
    const size_t end = kUriDelimiters.FindIn(target);
    // An "@" behind "?" or "#" may end a user-info that has such a character in it, or be part of a
    // query. Then all of it is the authority, which AppendSafeAuthority() refuses, and whether a
    // path or more of the query follows can't be told.
    if (FindToken(target.substr(end, slash - end), kAt) != npos) {
      parts.authority = target.substr(0, slash);
      parts.path = kRedacted;
      return parts;
    }
    parts.authority = target.substr(0, end);
    target.remove_prefix(end);
  }
  target = target.substr(0, target.find('#'));
  const size_t question = target.find('?');
  parts.path = target.substr(0, question);
  if (question != npos) {
    parts.query = target.substr(question + 1);
  }
  return parts;
}

bool AppendSafeAuthority(std::string& out, std::string_view authority) {
  const size_t end = kAuthorityEnds.FindIn(authority);
  const std::string_view host = WithoutUserInfo(authority.substr(0, end));
  const bool cut_user_info = FindToken(authority.substr(end), kAt) != npos;
  if (cut_user_info || !LooksLikeHostAndPort(host)) {
    out += kRedacted;
    return true;
  }
  return AppendSafeTarget(out, host, kMaxHostBytes);
}

bool AppendSafePath(std::string& out, std::string_view path) {
  const bool plain = path.starts_with('/') && kPathPeculiarities.FindIn(path) == path.size() &&
                     path.find("//") == npos && path.find(":/") == npos;
  if (plain) {
    return AppendSafeTarget(out, path, kMaxPathBytes);
  }
  return AppendSafeTarget(out, PathCleaner(path).Clean(), kMaxPathBytes);
}

bool AppendSafeQuery(std::string& out, std::string_view query) {
  const size_t begin = out.size();
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view token = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (token.empty()) {
      continue;
    }
    std::string safe(out.size() > begin ? "&" : "");
    if (const std::string_view key = QueryKey(token); !key.empty()) {
      AppendSafeTarget(safe, key);
      safe += '=';
    }
    safe += kRedacted;
    if (out.size() - begin + safe.size() > kMaxQueryBytes) {
      return false;
    }
    out += safe;
  }
  return true;
}

bool AppendSafeUrl(std::string& out, std::string_view url) {
  const size_t scheme = SchemeSize(url);
  const TargetParts parts = SplitTarget("", url);
  bool whole = true;
  if (scheme > 0) {
    whole = AppendSafeTarget(out, url.substr(0, scheme), kMaxHeaderNameBytes);
    out += "//";
    whole = AppendSafeAuthority(out, parts.authority) && whole;
  }
  whole = AppendSafePath(out, parts.path) && whole;
  if (!parts.query.empty()) {
    out += '?';
    whole = AppendSafeQuery(out, parts.query) && whole;
  }
  return whole;
}

const std::vector<std::string>& HeaderAllowList::Default() {
  static const auto* const names =
      new std::vector<std::string>{"host",   "user-agent",  "content-type", "content-length",
                                   "accept", "traceparent", "x-request-id"};
  return *names;
}

HeaderAllowList::HeaderAllowList(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (name.empty() || name.size() > kMaxHeaderNameBytes || SmellsOfSecret(name)) {
      continue;
    }
    std::string lower = SafeText(name);
    std::transform(lower.begin(), lower.end(), lower.begin(), Lower);
    sizes_ |= uint64_t{1} << (lower.size() % 64);
    names_.push_back(std::move(lower));
  }
}

std::string_view HeaderAllowList::Match(std::string_view name) const {
  if ((sizes_ >> (name.size() % 64) & 1) == 0) {
    return {};
  }
  for (const std::string& lower : names_) {
    if (EqualsIgnoreCase(name, lower)) {
      return lower;
    }
  }
  return {};
}

bool AppendSafeHeaderValue(std::string& out, std::string_view lower_name, std::string_view value) {
  if (lower_name == "host") {
    return AppendSafeAuthority(out, value);
  }
  // Obsolete folding (RFC 9112 section 5.2): what stands on the next line may be a field of its own
  // to somebody else, so it stays here.
  const size_t fold = std::min({value.find('\r'), value.find('\n'), value.size()});
  const bool folded = fold != value.size();
  value = value.substr(0, fold);
  if (std::find(kUrlHeaders.begin(), kUrlHeaders.end(), lower_name) != kUrlHeaders.end()) {
    return AppendSafeUrl(out, value) && !folded;
  }
  return AppendSafeText(out, value, kMaxHeaderValueBytes) && !folded;
}

}  // namespace podtap::enrichment
