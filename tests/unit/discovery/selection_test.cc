// Which pods are watched.
#include "agent/discovery/selection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

namespace podtap::discovery {
namespace {

using testing::StartsWith;

struct GlobCase {
  const char* glob;
  const char* text;
  bool matches;
};

TEST(GlobTest, MatchesAllOfTheText) {
  for (const GlobCase& row : std::vector<GlobCase>{{"web", "web", true},
                                                   {"web", "web-1", false},
                                                   {"web", "my-web", false},
                                                   {"web", "we", false},
                                                   {"web", "WEB", false},
                                                   {"*", "", true},
                                                   {"*", "anything", true},
                                                   {"**", "x", true},
                                                   {"?", "", false},
                                                   {"?", "x", true},
                                                   {"?", "xy", false},
                                                   {"web-*", "web-1", true},
                                                   {"web-*", "web-", true},
                                                   {"web-*", "web", false},
                                                   {"*-web", "a-b-web", true},
                                                   {"*-web", "a-b-webs", false},
                                                   {"a*b*c", "abc", true},
                                                   {"a*b*c", "a-b-b-c", true},
                                                   {"a*b*c", "a-c-b", false},
                                                   {"w?b-*-0", "wxb-y-0", true},
                                                   {"w?b-*-0", "wb-y-0", false},
                                                   {"*ab", "aab", true},
                                                   {"*a?b", "aaxb", true},
                                                   {"", "", true},
                                                   {"", "x", false},
                                                   {"a*?", "a", false},
                                                   {"a*?", "ab", true},
                                                   {"[ab]", "a", false},
                                                   {"*ab*ab*", "abxab", true},
                                                   {"*ab*ab*", "abxa", false}}) {
    EXPECT_EQ(MatchesGlob(row.glob, row.text), row.matches) << row.glob << " on " << row.text;
  }
}

TEST(GlobTest, ManyStarsTakeNoLongTime) {
  std::string glob;
  for (int i = 0; i < 120; ++i) {
    glob += "*a";
  }
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(MatchesGlob(glob + "b", std::string(10'000, 'a')));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
}

PodIdentity Pod(const std::string& namespace_name, const std::string& pod_name,
                std::map<std::string, std::string> labels = {}) {
  return {.namespace_name = namespace_name, .pod_name = pod_name, .labels = std::move(labels)};
}

std::string Reason(PodPatterns include, PodPatterns exclude, const PodIdentity& pod) {
  const absl::StatusOr<PodSelection> selection =
      PodSelection::Make(std::move(include), std::move(exclude));
  EXPECT_TRUE(selection.ok()) << selection.status();
  return selection->ReasonToExclude(pod);
}

TEST(PodSelectionTest, WithoutPatternsAllPodsAreSelected) {
  EXPECT_TRUE(PodSelection().selects_all());
  EXPECT_TRUE(PodSelection::Make({}, {})->selects_all());
  EXPECT_EQ(PodSelection().ReasonToExclude(Pod("shop", "web")), "");
  EXPECT_FALSE(PodSelection::Make({.pods = {"a"}}, {})->selects_all());
  EXPECT_FALSE(PodSelection::Make({}, {.labels = {"a"}})->selects_all());
}

TEST(PodSelectionTest, ValuesOfOneKindAreAlternatives) {
  const PodPatterns include{.namespaces = {"shop", "off*"}};
  EXPECT_EQ(Reason(include, {}, Pod("shop", "web")), "");
  EXPECT_EQ(Reason(include, {}, Pod("office", "web")), "");
  EXPECT_EQ(Reason(include, {}, Pod("kube-system", "web")), "matches no --include-namespace");
}

TEST(PodSelectionTest, AllKindsHaveToMatch) {
  const PodPatterns include{
      .namespaces = {"shop"}, .pods = {"web-*"}, .labels = {"app=web", "tier"}};
  EXPECT_EQ(Reason(include, {}, Pod("shop", "web-1", {{"app", "web"}})), "");
  EXPECT_EQ(Reason(include, {}, Pod("shop", "web-1", {{"tier", ""}})), "");
  EXPECT_EQ(Reason(include, {}, Pod("shops", "web-1", {{"tier", ""}})),
            "matches no --include-namespace");
  EXPECT_EQ(Reason(include, {}, Pod("shop", "web", {{"tier", ""}})), "matches no --include-pod");
  EXPECT_EQ(Reason(include, {}, Pod("shop", "web-1", {{"app", "webs"}})),
            "matches no --include-label");
  EXPECT_EQ(Reason(include, {}, Pod("shop", "web-1")), "matches no --include-label");
}

TEST(PodSelectionTest, WhatIsExcludedIsNotIncluded) {
  const PodPatterns all{.namespaces = {"*"}};
  EXPECT_EQ(Reason(all, {.namespaces = {"kube-*"}}, Pod("kube-system", "dns")),
            "excluded by --exclude-namespace kube-*");
  EXPECT_EQ(Reason(all, {.pods = {"x", "d?s"}}, Pod("kube-system", "dns")),
            "excluded by --exclude-pod d?s");
  EXPECT_EQ(Reason(all, {.labels = {"podtap.io/skip=true"}},
                   Pod("shop", "web", {{"podtap.io/skip", "true"}})),
            "excluded by --exclude-label podtap.io/skip=true");
  EXPECT_EQ(Reason(all, {.labels = {"podtap.io/skip=true"}},
                   Pod("shop", "web", {{"podtap.io/skip", "false"}})),
            "");
}

TEST(PodSelectionTest, ALabelWithoutAValueIsOne) {
  EXPECT_EQ(Reason({.labels = {"app="}}, {}, Pod("shop", "web", {{"app", ""}})), "");
  EXPECT_NE(Reason({.labels = {"app="}}, {}, Pod("shop", "web", {{"app", "web"}})), "");
  EXPECT_EQ(Reason({.labels = {"app"}}, {}, Pod("shop", "web", {{"app", "web"}})), "");
}

TEST(PodSelectionTest, WhatCanNotMatchIsRefused) {
  for (const char* bad : {"", "a/b", "a b", "a,b", "[ab]", "\x1b", "a=b"}) {
    EXPECT_THAT(std::string(PodSelection::Make({.namespaces = {bad}}, {}).status().message()),
                StartsWith("--include-namespace: "))
        << bad;
    EXPECT_THAT(std::string(PodSelection::Make({}, {.pods = {bad}}).status().message()),
                StartsWith("--exclude-pod: "))
        << bad;
  }
  for (const char* bad : {"", "=", "=web", "app=a=b", "app!=web", "app in (web)", "app=web*"}) {
    EXPECT_THAT(std::string(PodSelection::Make({}, {.labels = {bad}}).status().message()),
                StartsWith("--exclude-label: "))
        << bad;
  }
  EXPECT_TRUE(PodSelection::Make({.labels = {"app.kubernetes.io/name=web", "k8s-app"}}, {}).ok());
}

TEST(PodSelectionTest, LengthsAndNumbersAreBounded) {
  const auto is_taken = [](PodPatterns patterns) {
    return PodSelection::Make(std::move(patterns), {}).ok();
  };
  EXPECT_TRUE(is_taken({.pods = {std::string(253, 'a')}}));
  EXPECT_FALSE(is_taken({.pods = {std::string(254, 'a')}}));
  EXPECT_TRUE(is_taken({.labels = {std::string(317, 'a')}}));
  EXPECT_FALSE(is_taken({.labels = {std::string(318, 'a')}}));
  EXPECT_TRUE(is_taken({.labels = {"a=" + std::string(63, 'b')}}));
  EXPECT_FALSE(is_taken({.labels = {"a=" + std::string(64, 'b')}}));
  EXPECT_TRUE(is_taken({.pods = std::vector<std::string>(256, "a")}));
  EXPECT_FALSE(is_taken({.pods = std::vector<std::string>(257, "a")}));
}

TEST(PodSelectionTest, WhatIsRefusedIsQuotedInPrintableText) {
  const std::string message(
      PodSelection::Make({.pods = {"a\x1b" + std::string(300, 'b')}}, {}).status().message());
  EXPECT_EQ(message.find('\x1b'), std::string::npos) << message;
  EXPECT_LT(message.size(), 250u);
}

}  // namespace
}  // namespace podtap::discovery
