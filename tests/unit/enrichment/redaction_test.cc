#include "agent/enrichment/redaction.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/secret_name.h"

namespace podtap::enrichment {
namespace {

using std::string_view_literals::operator""sv;

template <typename Append>
std::string With(Append append, std::string_view text) {
  std::string out;
  append(out, text);
  return out;
}
std::string Path(std::string_view text) { return With(AppendSafePath, text); }
std::string Query(std::string_view text) { return With(AppendSafeQuery, text); }
std::string Authority(std::string_view text) { return With(AppendSafeAuthority, text); }
std::string Url(std::string_view text) { return With(AppendSafeUrl, text); }

// "authority|path|query".
std::string Split(std::string_view method, std::string_view target) {
  const TargetParts parts = SplitTarget(method, target);
  return std::string(parts.authority) + "|" + std::string(parts.path) + "|" +
         std::string(parts.query);
}

TEST(SplitTarget, KnowsTheFourForms) {
  EXPECT_EQ(Split("GET", "/a/b?c=d?e"), "|/a/b|c=d?e");
  EXPECT_EQ(Split("GET", "/"), "|/|");
  EXPECT_EQ(Split("GET", "http://h:8080/a?b"), "h:8080|/a|b");
  EXPECT_EQ(Split("GET", "http://h"), "h||");
  EXPECT_EQ(Split("GET", "http://h?q"), "h||q");
  EXPECT_EQ(Split("CONNECT", "h:443"), "h:443||");
  EXPECT_EQ(Split("OPTIONS", "*"), "|*|");
  EXPECT_EQ(Split("GET", ""), "||");
}

TEST(SplitTarget, KeepsNothingBehindAnAtThatMayBeInAQuery) {
  EXPECT_EQ(Split("GET", "http://h?a=b@c/d&e=f"), "h?a=b@c|REDACTED|");
  EXPECT_EQ(Split("GET", "http://user:x?y@h/a?b"), "user:x?y@h|REDACTED|");
}

TEST(SplitTarget, LeavesTheFragmentOut) {
  EXPECT_EQ(Split("GET", "/a#f?g"), "|/a|");
  EXPECT_EQ(Split("GET", "/a?b#c"), "|/a|b");
  EXPECT_EQ(Split("GET", "http://h#f"), "h||");
}

TEST(SplitTarget, TakesNoUrlInsideForItsOwn) {
  EXPECT_EQ(Split("GET", "/fetch/http://h/a"), "|/fetch/http://h/a|");
  EXPECT_EQ(Split("GET", "://h/a"), "|://h/a|");
}

TEST(SafeAuthority, KeepsHostAndPort) {
  for (const char* text : {"example.com", "example.com:8080", "10.0.0.1:80", "[fd00::1]:80",
                           "[::1]", "::1", "a_b-c:", ""}) {
    EXPECT_EQ(Authority(text), text);
  }
}

TEST(SafeAuthority, RemovesUserInfo) {
  EXPECT_EQ(Authority("user:pass@h:80"), "h:80");
  EXPECT_EQ(Authority("user@h"), "h");
  EXPECT_EQ(Authority("us@er:pass@h"), "h");
  EXPECT_EQ(Authority("user%3Apass%40h"), "h");
}

TEST(SafeAuthority, GivesNothingAwayInDoubt) {
  EXPECT_EQ(Authority("user:pa#ss@h"), "REDACTED");
  EXPECT_EQ(Authority("user:pa/ss@h"), "REDACTED");
  EXPECT_EQ(Authority("user pass@h"), "REDACTED");
  EXPECT_EQ(Authority("user:pass"), "REDACTED");
  EXPECT_EQ(Authority("h:123456"), "REDACTED");
  EXPECT_EQ(Authority("[secret]:80"), "REDACTED");
  EXPECT_EQ(Authority("[::1"), "REDACTED");
  EXPECT_EQ(Authority("h/path?a=b"), "h");
  EXPECT_EQ(Authority("h\r\n folded"), "h");
}

TEST(SafeAuthority, IsSafeText) {
  EXPECT_EQ(Authority("h\x1b[1m\xff"), "h%1B[1m%FF");
  EXPECT_EQ(Authority(std::string(5000, 'a')).size(), kMaxHostBytes);
}

TEST(SafePath, KeepsPercentEncoding) {
  for (const char* path : {"/", "/a/b%2Fc", "/a%3F.html", "/v1/items/42", "*", "", "/a;v=1;w/b",
                           "/@scope/pkg", "/v2/app/manifests/app:tag@sha256:ab", "/a=b"}) {
    EXPECT_EQ(Path(path), path);
  }
  EXPECT_EQ(Path("/a b\xff\n"), "/a%20b%FF%0A");
}

TEST(SafePath, RemovesUserInfoOfUrlsInside) {
  EXPECT_EQ(Path("/fetch/http://user:pass@h/x"), "/fetch/http://h/x");
  EXPECT_EQ(Path("/fetch/http:/user:pass@h/x"), "/fetch/http:/h/x");
  EXPECT_EQ(Path("//user:pass@h/x"), "//h/x");
  EXPECT_EQ(Path("/http%3A%2F%2Fuser%3Apass%40h%2Fx"), "/http%3A%2F%2Fh%2Fx");
  EXPECT_EQ(Path("user:pass@h:80"), "h:80") << "authority form without CONNECT";
}

TEST(SafePath, RedactsSecretParameters) {
  EXPECT_EQ(Path("/a;jsessionid=123/b;v=2"), "/a;jsessionid=REDACTED/b;v=2");
  EXPECT_EQ(Path("/a;Token=1;v=2"), "/a;Token=REDACTED;v=2");
  EXPECT_EQ(Path("/a;jsess%69onid=123"), "/a;jsess%69onid=REDACTED");
  EXPECT_EQ(Path("/a;token%3D123"), "/a;token%3DREDACTED");
  EXPECT_EQ(Path("//a;@=b"), "//=b") << "a parameter inside a user-info";
  EXPECT_EQ(Path("//a;token:b=c@h/d"), "//h/d");
}

TEST(SafePath, RedactsAnEncodedQuery) {
  EXPECT_EQ(Path("/a%3Ftoken=1"), "/a%3FREDACTED");
  EXPECT_EQ(Path("/a%3ftoken%3d1"), "/a%3fREDACTED");
}

TEST(SafePath, IsBounded) {
  std::string out;
  EXPECT_FALSE(AppendSafePath(out, "/" + std::string(5000, 'a')));
  EXPECT_EQ(out.size(), kMaxPathBytes);
}

TEST(SafeQuery, KeepsKeysOnly) {
  EXPECT_EQ(Query("a=1&b=2&c="), "a=REDACTED&b=REDACTED&c=REDACTED");
  EXPECT_EQ(Query("filter%5Bname%5D=x"), "filter%5Bname%5D=REDACTED");
  EXPECT_EQ(Query("a=1&&b=x=y&"), "a=REDACTED&b=REDACTED");
  EXPECT_EQ(Query(""), "");
  EXPECT_EQ(Query("a\n=1"), "a%0A=REDACTED");
}

TEST(SafeQuery, TakesATokenWithoutKeyForAValue) {
  EXPECT_EQ(Query("secret"), "REDACTED");
  EXPECT_EQ(Query("a=1&secret"), "a=REDACTED&REDACTED");
  EXPECT_EQ(Query("=secret"), "REDACTED");
  EXPECT_EQ(Query("c2VjcmV0cw=="), "REDACTED") << "padded base64";
  EXPECT_EQ(Query("c2VjcmV0c2VjcmV0c2U="), "REDACTED") << "padded base64";
  EXPECT_EQ(Query("secret%3D1"), "REDACTED");
}

TEST(SafeQuery, TakesNoValueForAKey) {
  EXPECT_EQ(Query("a%3Dsecret=1"), "REDACTED");
  EXPECT_EQ(Query("a%26secret=1"), "REDACTED");
  EXPECT_EQ(Query("a%253Dsecret=1"), "REDACTED");
  EXPECT_EQ(Query("a;secret=1"), "REDACTED");
  EXPECT_EQ(Query("http://secret@h/=1"), "REDACTED");
  EXPECT_EQ(Query(std::string(kMaxQueryKeyBytes + 1, 'k') + "=1"), "REDACTED");
}

TEST(SafeQuery, IsBounded) {
  std::string query;
  for (int i = 0; i < 1000; ++i) {
    query += "key" + std::to_string(i) + "=v&";
  }
  std::string out;
  EXPECT_FALSE(AppendSafeQuery(out, query));
  EXPECT_LE(out.size(), kMaxQueryBytes);
  EXPECT_TRUE(out.ends_with("=REDACTED"));
}

TEST(SafeUrl, RedactsEachPart) {
  EXPECT_EQ(Url("https://user:pass@h/a?b=c#d"), "https://h/a?b=REDACTED");
  EXPECT_EQ(Url("/a?b=c#d"), "/a?b=REDACTED");
  EXPECT_EQ(Url("https://h"), "https://h");
}

TEST(HeaderAllowList, DefaultsSmellOfNothing) {
  for (const std::string& name : HeaderAllowList::Default()) {
    EXPECT_FALSE(SmellsOfSecret(name)) << name;
  }
}

TEST(HeaderAllowList, MatchesInAnyCase) {
  const HeaderAllowList list(HeaderAllowList::Default());
  EXPECT_EQ(list.Match("User-Agent"), "user-agent");
  EXPECT_EQ(list.Match("HOST"), "host");
  EXPECT_EQ(list.Match("x-request-i"), "");
  EXPECT_EQ(list.Match("x-request-idx"), "");
  EXPECT_EQ(list.Match(""), "");
  EXPECT_EQ(list.Match("authorization"), "");
}

TEST(HeaderAllowList, NeverHasASecret) {
  const HeaderAllowList list({"Authorization", "Cookie", "X-Api-Key", "X-Tenant", ""});
  EXPECT_EQ(list.Match("authorization"), "");
  EXPECT_EQ(list.Match("cookie"), "");
  EXPECT_EQ(list.Match("x-api-key"), "");
  EXPECT_EQ(list.Match(""), "");
  EXPECT_EQ(list.Match("x-tenant"), "x-tenant");
}

TEST(SafeHeaderValue, TreatsValuesByName) {
  const auto value = [](std::string_view name, std::string_view text) {
    std::string out;
    AppendSafeHeaderValue(out, name, text);
    return out;
  };
  EXPECT_EQ(value("host", "user:pass@h:80"), "h:80");
  EXPECT_EQ(value("referer", "http://u:p@h/a?b=c"), "http://h/a?b=REDACTED");
  EXPECT_EQ(value("accept", "text/html, */*;q=0.8"), "text/html, */*;q=0.8");
  EXPECT_EQ(value("user-agent", "a\r\n Authorization: secret"), "a");
  EXPECT_EQ(value("user-agent", "a\0b"sv), "a%00b");
  EXPECT_EQ(value("user-agent", std::string(5000, 'a')).size(), kMaxHeaderValueBytes);
}

}  // namespace
}  // namespace podtap::enrichment
