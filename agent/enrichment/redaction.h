// What may leave the node of a request's target and header fields. Everything here errs on the side
// of removing: what might be a credential is written as REDACTED.
//
// Pure functions over bytes from the wire. All results are bounded, printable and valid UTF-8. The
// Append... functions return false when a bound cut the result.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace podtap::enrichment {

inline constexpr std::string_view kRedacted = "REDACTED";

inline constexpr size_t kMaxMethodBytes = 64;
inline constexpr size_t kMaxPathBytes = 2048;
inline constexpr size_t kMaxQueryBytes = 2048;
inline constexpr size_t kMaxQueryKeyBytes = 64;
// RFC 1035 section 2.3.4 allows a name 255 bytes; the port comes on top.
inline constexpr size_t kMaxHostBytes = 264;
inline constexpr size_t kMaxHeaderNameBytes = 64;
inline constexpr size_t kMaxHeaderValueBytes = 512;

// The parts of a request target (RFC 9112 section 3.2), as views into it. The fragment, which has
// no place in a target, is left out.
struct TargetParts {
  // Of the absolute and the authority form, user-info included; empty in the other forms.
  std::string_view authority;
  // "*" in the asterisk form, empty in the authority form.
  std::string_view path;
  // Without the question mark.
  std::string_view query;
};
TargetParts SplitTarget(std::string_view method, std::string_view target);

// The authority without user-info. What might be the front of a user-info with a forbidden
// character in it (a port that is no number) becomes REDACTED as a whole.
bool AppendSafeAuthority(std::string& out, std::string_view authority);
// The path, percent-encoding kept. Removed from it: user-info of a URL inside the path, values of
// path parameters whose names smell of secrets, and a query whose question mark is encoded.
bool AppendSafePath(std::string& out, std::string_view path);
// The query with every value replaced by REDACTED. A token without "=" is a value.
bool AppendSafeQuery(std::string& out, std::string_view query);
// A header value that holds a URL, such as Referer.
bool AppendSafeUrl(std::string& out, std::string_view url);

// The header fields that may leave, by name.
class HeaderAllowList {
 public:
  // host, user-agent, content-type, content-length, accept, traceparent, x-request-id.
  static const std::vector<std::string>& Default();

  // Names in any case. Those that smell of secrets are left out, and so are names that are empty or
  // longer than kMaxHeaderNameBytes.
  explicit HeaderAllowList(const std::vector<std::string>& names);

  // The name in lower case when the field may leave; else empty. Valid as long as the list.
  std::string_view Match(std::string_view name) const;

 private:
  std::vector<std::string> names_;
  // Bit N: some name's size is N, modulo 64. Most fields are ruled out by that alone.
  uint64_t sizes_ = 0;
};

// The value of an allow-listed field; `lower_name` is what Match() gave.
bool AppendSafeHeaderValue(std::string& out, std::string_view lower_name, std::string_view value);

}  // namespace podtap::enrichment
