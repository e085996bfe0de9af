// Where bytes become text: any bytes give valid, printable UTF-8 of bounded size, and no secret is
// in it, wherever it stood and whatever stood around it.
//
// Input: a bound, then texts with marks.
#include <initializer_list>
#include <string>
#include <string_view>

#include "agent/enrichment/redaction.h"
#include "agent/enrichment/trace_context.h"
#include "common/secret_name.h"
#include "common/status.h"
#include "common/text.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/text_checks.h"

namespace podtap::enrichment {
namespace {

using fuzz::HasCanary;
using fuzz::Input;
using fuzz::IsSafe;
using fuzz::kCanary;

std::string Join(std::initializer_list<std::string_view> parts) {
  std::string joined;
  for (const std::string_view part : parts) {
    joined += part;
  }
  return joined;
}

// `append` as a function of what it appends, which must not depend on what was there.
template <typename Append>
std::string Appended(Append append, std::string_view bytes) {
  std::string alone;
  append(alone, bytes);
  std::string behind = "%x";
  append(behind, bytes);
  PODTAP_CHECK(behind == "%x" + alone);
  PODTAP_CHECK(IsSafe(alone));
  return alone;
}

std::string Path(std::string_view path) {
  std::string safe = Appended(AppendSafePath, path);
  PODTAP_CHECK(safe.size() <= kMaxPathBytes && safe.find(' ') == std::string::npos);
  return safe;
}
std::string Query(std::string_view query) {
  std::string safe = Appended(AppendSafeQuery, query);
  PODTAP_CHECK(safe.size() <= kMaxQueryBytes && safe.find(' ') == std::string::npos);
  return safe;
}
std::string Authority(std::string_view authority) {
  std::string safe = Appended(AppendSafeAuthority, authority);
  PODTAP_CHECK(safe.size() <= kMaxHostBytes && safe.find(' ') == std::string::npos);
  return safe;
}
std::string Url(std::string_view url) { return Appended(AppendSafeUrl, url); }
std::string HeaderValue(std::string_view name, std::string_view value) {
  return Appended(
      [&](std::string& out, std::string_view v) { return AppendSafeHeaderValue(out, name, v); },
      value);
}
// All that leaves of a target.
std::string Target(std::string_view method, std::string_view target) {
  const TargetParts parts = SplitTarget(method, target);
  return Authority(parts.authority) + "\n" + Path(parts.path) + "\n" + Query(parts.query);
}

void CheckText(std::string_view bytes, size_t bound) {
  const auto check = [&](auto safe, auto append) {
    const std::string whole = safe(bytes, SIZE_MAX);
    PODTAP_CHECK(IsSafe(whole));
    PODTAP_CHECK(safe(whole, SIZE_MAX) == whole);
    const std::string cut = safe(bytes, bound);
    PODTAP_CHECK(cut.size() <= bound && IsSafe(cut) && whole.starts_with(cut));
    // At most one character or escape short of the bound.
    PODTAP_CHECK(cut == whole || cut.size() + 12 > bound);
    std::string out;
    PODTAP_CHECK(append(out, bytes, bound) == (cut == whole));
    PODTAP_CHECK(out == cut);
  };
  check(SafeText, AppendSafeText);
  check(SafeTarget, AppendSafeTarget);
}

void CheckEveryForm(std::string_view a, std::string_view b) {
  for (const std::string_view method : {"GET", "CONNECT", ""}) {
    Target(method, a);
  }
  Path(a);
  Query(a);
  Authority(a);
  Url(a);
  for (const std::string_view name : {"host", "referer", "location", "user-agent"}) {
    HeaderValue(name, a);
  }
  if (const auto trace = ParseTraceparent(a)) {
    PODTAP_CHECK(trace->trace_id.size() == 32 && trace->span_id.size() == 16);
    PODTAP_CHECK(IsSafe(trace->trace_id) && IsSafe(trace->span_id));
  }
  const HeaderAllowList allowed({std::string(a), std::string(b), "accept"});
  const std::string_view match = allowed.Match(b);
  PODTAP_CHECK(match.empty() || (IsSafe(match) && !SmellsOfSecret(b)));
  PODTAP_CHECK(allowed.Match("aCCept") == "accept");
}

bool HasAny(std::string_view text, std::string_view characters) {
  return text.find_first_of(characters) != std::string_view::npos;
}

void CheckSecrets(std::string_view a, std::string_view b, std::string_view c) {
  if (HasCanary(a) || HasCanary(b) || HasCanary(c)) {
    return;
  }
  const std::string value = Join({"=", kCanary, c});
  // Values of queries.
  PODTAP_CHECK(!HasCanary(Query(Join({a, value}))));
  PODTAP_CHECK(!HasCanary(Query(Join({"k=", a, kCanary}))) || HasAny(a, "&"));
  for (const std::string_view method : {"GET", "CONNECT"}) {
    PODTAP_CHECK(!HasCanary(Target(method, Join({a, "?", b, value}))));
    PODTAP_CHECK(!HasCanary(Target(method, Join({"/", a, "#", b, kCanary, c})).substr(1)) ||
                 method == "CONNECT" || HasAny(a, "?"));
  }
  PODTAP_CHECK(!HasCanary(Url(Join({a, "?", b, value}))));
  // User-info.
  PODTAP_CHECK(!HasCanary(Authority(Join({a, ":", kCanary, b, "@", c}))));
  PODTAP_CHECK(!HasCanary(HeaderValue("host", Join({a, kCanary, b, "@", c}))));
  if (!HasAny(a, "/?#") && !HasAny(b, "/?#")) {
    const std::string info = Join({a, ":", kCanary, b, "@"});
    PODTAP_CHECK(!HasCanary(Target("GET", Join({"http://", info, c}))));
    PODTAP_CHECK(!HasCanary(Target("GET", Join({"//", info, c}))));
    PODTAP_CHECK(!HasCanary(Target("GET", Join({"/get/http://", info, c}))));
    PODTAP_CHECK(!HasCanary(Target("CONNECT", Join({info, c}))));
  }
  // Parameters of paths.
  if (!HasAny(a, "/?#%;=@") && !HasAny(b, "/?#%;=@")) {
    PODTAP_CHECK(!HasCanary(Path(Join({"/", a, ";", b, "token=", kCanary}))));
    PODTAP_CHECK(!HasCanary(Path(Join({"/", a, ";", b, "Secret%3d", kCanary, "/", b}))));
  }
  // Folded lines.
  for (const std::string_view name : {"host", "referer", "user-agent"}) {
    PODTAP_CHECK(!HasCanary(HeaderValue(name, Join({b, "\r\n ", a, kCanary, c}))));
    PODTAP_CHECK(!HasCanary(HeaderValue(name, Join({b, "\n\t", a, kCanary, c}))));
  }
  PODTAP_CHECK(SmellsOfSecret(Join({a, "cOOkie", b})));
}

void Run(Input input) {
  const size_t bound = input.Short() % 300;
  const std::string_view a = input.Text();
  const std::string_view b = input.Text();
  const std::string_view c = input.Text();
  CheckText(a, bound);
  CheckEveryForm(a, b);
  CheckSecrets(a, b, c);
}

}  // namespace
}  // namespace podtap::enrichment

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  podtap::enrichment::Run({data, size});
  return 0;
}
