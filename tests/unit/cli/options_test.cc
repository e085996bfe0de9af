#include "cli/options.h"

#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/scoped_variable.h"

namespace podtap::cli {
namespace {

// 2030-01-01T12:00:00Z.
constexpr int64_t kNoonSeconds = 1'893'499'200;

std::variant<ObserveOptions, int> Parse(std::vector<const char*> arguments,
                                        Surroundings surroundings = {}) {
  surroundings.now_ns = kNoonSeconds * 1'000'000'000;
  arguments.insert(arguments.begin(), {"podtap", "observe"});
  return ParseArguments(static_cast<int>(arguments.size()), arguments.data(), surroundings);
}

ObserveOptions Options(const std::vector<const char*>& arguments,
                       const Surroundings& surroundings = {}) {
  auto parsed = Parse(arguments, surroundings);
  EXPECT_TRUE(std::holds_alternative<ObserveOptions>(parsed));
  return std::holds_alternative<ObserveOptions>(parsed) ? std::get<ObserveOptions>(parsed)
                                                        : ObserveOptions();
}

// Filters as text, one per line, for comparison.
std::string Text(const google::protobuf::RepeatedPtrField<v1::EventFilter>& filters) {
  std::string text;
  for (const v1::EventFilter& filter : filters) {
    text += filter.ShortDebugString() + "\n";
  }
  return text;
}

TEST(ObserveOptions, HasDefaults) {
  const ObserveOptions options = Options({});
  EXPECT_EQ(options.server.ToString(), "127.0.0.1:4270");
  EXPECT_EQ(options.last, 20);
  EXPECT_FALSE(options.follow);
  EXPECT_TRUE(options.include.empty());
  EXPECT_TRUE(options.exclude.empty());
}

TEST(ObserveOptions, FormatFollowsTheTerminal) {
  EXPECT_TRUE(Options({}).json);
  EXPECT_FALSE(Options({}, {.stdout_is_terminal = true}).json);
  EXPECT_TRUE(Options({}, {.stdout_is_terminal = true}).colour);
  EXPECT_FALSE(Options({}, {.stdout_is_terminal = true, .no_colour = true}).colour);
  EXPECT_FALSE(Options({"-o", "compact"}).json);
  EXPECT_FALSE(Options({"-o", "compact"}).colour);
  EXPECT_TRUE(Options({"-o", "json"}, {.stdout_is_terminal = true}).json);
}

TEST(ObserveOptions, WantedFiltersBecomeOneFilter) {
  const ObserveOptions options = Options({"--method",
                                          "GET",
                                          "--status=5xx",
                                          "--method",
                                          "POST",
                                          "--pod",
                                          "shop/web-*",
                                          "--from-pod",
                                          "a",
                                          "--to-namespace",
                                          "b",
                                          "--path",
                                          "~x[0-9]",
                                          "--reporter",
                                          "client",
                                          "--namespace",
                                          "c",
                                          "--from-namespace",
                                          "d",
                                          "--to-pod",
                                          "e"});
  EXPECT_EQ(Text(options.include),
            "endpoint { namespace: \"c\" pod: \"shop/web-*\" } "
            "source { namespace: \"d\" pod: \"a\" } destination { namespace: \"b\" pod: \"e\" } "
            "method: \"GET\" method: \"POST\" path: \"~x[0-9]\" status: \"5xx\" "
            "reporter: REPORTER_CLIENT\n");
  EXPECT_TRUE(options.exclude.empty());
}

TEST(ObserveOptions, EveryFieldHasItsFlag) {
  const ObserveOptions options = Options({"--ip",
                                          "10.0.0.0/8",
                                          "--port",
                                          "80",
                                          "--from-ip",
                                          "fd00::1",
                                          "--from-port",
                                          "1",
                                          "--to-ip",
                                          "::/0",
                                          "--to-port",
                                          "65535",
                                          "--node",
                                          "n*",
                                          "--host",
                                          "*.a:80",
                                          "--outcome",
                                          "timeout",
                                          "--outcome",
                                          "NO_RESPONSE",
                                          "--min-duration",
                                          "1.25s",
                                          "--min-duration",
                                          "250ms",
                                          "--min-duration",
                                          "2m",
                                          "--trace-id",
                                          "0af7651916cd43dd8448eb211c80319c",
                                          "--header",
                                          "accept:x",
                                          "--workload",
                                          "web",
                                          "--service",
                                          "s*",
                                          "--label",
                                          "app=web,tier",
                                          "--from-workload",
                                          "shop/a",
                                          "--from-service",
                                          "b",
                                          "--from-label",
                                          "c",
                                          "--to-workload",
                                          "d*",
                                          "--to-service",
                                          "e",
                                          "--to-label",
                                          "f=g*"});
  EXPECT_EQ(Text(options.include),
            "endpoint { ip: \"10.0.0.0/8\" port: 80 workload: \"web\" service: \"s*\" "
            "label: \"app=web,tier\" } source { ip: \"fd00::1\" port: 1 workload: \"shop/a\" "
            "service: \"b\" label: \"c\" } destination { ip: \"::/0\" port: 65535 "
            "workload: \"d*\" service: \"e\" label: \"f=g*\" } node: \"n*\" host: \"*.a:80\" "
            "min_duration { nanos: 250000000 } outcome: OUTCOME_TIMEOUT "
            "outcome: OUTCOME_NO_RESPONSE trace_id: \"0af7651916cd43dd8448eb211c80319c\" "
            "header: \"accept:x\"\n")
      << "of several durations the least is enough";
}

TEST(ObserveOptions, NotNegatesTheNextFilterOnly) {
  ObserveOptions options = Options({"--not", "--method", "GET", "--path", "/a"});
  EXPECT_EQ(Text(options.exclude), "method: \"GET\"\n");
  EXPECT_EQ(Text(options.include), "path: \"/a\"\n");

  options = Options({"--method", "GET", "--not", "--method=POST", "--method", "PUT"});
  EXPECT_EQ(Text(options.exclude), "method: \"POST\"\n");
  EXPECT_EQ(Text(options.include), "method: \"GET\" method: \"PUT\"\n");

  options = Options({"--not", "--method", "GET", "--not", "--path", "/a"});
  EXPECT_EQ(Text(options.exclude), "method: \"GET\"\npath: \"/a\"\n") << "either is enough";
}

TEST(ObserveOptions, ValuesMayLookLikeAnything) {
  const ObserveOptions options =
      Options({"--path", "[a,b]", "--path", "--not", "--path=-x", "--path", "", "--path=a=b"});
  EXPECT_EQ(Text(options.include),
            "path: \"[a,b]\" path: \"--not\" path: \"-x\" path: \"\" path: \"a=b\"\n");
}

TEST(ObserveOptions, TimesAreAgoOrAbsolute) {
  ObserveOptions options = Options({"--since", "5m", "--until", "1m"});
  EXPECT_EQ(options.time_range.start_time().seconds(), kNoonSeconds - 300);
  EXPECT_EQ(options.time_range.end_time().seconds(), kNoonSeconds - 60);
  EXPECT_FALSE(options.last) << "all of the range";
  options = Options({"--since", "2030-01-01T13:00:00.5+01:00", "--last", "5"});
  EXPECT_EQ(options.time_range.start_time().seconds(), kNoonSeconds);
  EXPECT_EQ(options.time_range.start_time().nanos(), 500'000'000);
  EXPECT_FALSE(options.time_range.has_end_time());
  EXPECT_EQ(options.last, 5);
}

class BadArguments : public testing::TestWithParam<std::vector<const char*>> {};

TEST_P(BadArguments, AreAUsageErrorOfOneLine) {
  testing::internal::CaptureStderr();
  const auto parsed = Parse(GetParam());
  const std::string text = testing::internal::GetCapturedStderr();
  ASSERT_TRUE(std::holds_alternative<int>(parsed));
  EXPECT_EQ(std::get<int>(parsed), 2);
  EXPECT_THAT(text, testing::StartsWith("podtap: "));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
}

TEST(ObserveOptions, AMistakeIsNamedByItsFlag) {
  testing::internal::CaptureStderr();
  Parse({"--not", "--from-ip", "10.0.0.0/99"});
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "podtap: --from-ip: \"10.0.0.0/99\" is neither an IP address nor a range like "
            "10.0.0.0/8 or fd00::/8 (see --help)\n");
}

using Arguments = std::vector<const char*>;
INSTANTIATE_TEST_SUITE_P(
    All, BadArguments,
    testing::Values(Arguments{"--bogus"}, Arguments{"argument"}, Arguments{"--not"},
                    Arguments{"--not", "--last", "5"}, Arguments{"--not", "--not", "--path", "/"},
                    Arguments{"--path"}, Arguments{"--method", "GET", "POST"},
                    Arguments{"--reporter", "both"}, Arguments{"--status", "abc"},
                    Arguments{"--ip", "10.0.0"}, Arguments{"--from-ip", "10.0.0.0/33"},
                    Arguments{"--to-ip", "x"}, Arguments{"--port", "0"},
                    Arguments{"--from-port", "65536"}, Arguments{"--to-port", "http"},
                    Arguments{"--pod", "a/b/c"}, Arguments{"--workload", ""},
                    Arguments{"--from-workload", "a/b/c"}, Arguments{"--to-service", ""},
                    Arguments{"--label", "a b"}, Arguments{"--to-label", "a!=b"},
                    Arguments{"--path", "~("}, Arguments{"--host", ""},
                    Arguments{"--min-duration", "5"}, Arguments{"--min-duration", "-1s"},
                    Arguments{"--min-duration", "inf"}, Arguments{"--outcome", "unspecified"},
                    Arguments{"--outcome", "good"}, Arguments{"--trace-id", "12"},
                    Arguments{"--header", "a b"}, Arguments{"--not", "--header", ":"},
                    Arguments{"--node"}, Arguments{"--last", "-1"}, Arguments{"--last", "x"},
                    Arguments{"--last", "100001"}, Arguments{"--since", "yesterday"},
                    Arguments{"--until", "5"}, Arguments{"--follow", "--until", "5m"},
                    Arguments{"-o", "yaml"}, Arguments{"--server", "host"}, Arguments{"--server"},
                    Arguments{"--last", "1", "--last", "2"}, Arguments{"--log-level", "loud"},
                    Arguments{"--config", "/nonexistent"}, Arguments{"--status", "\x1b[31m"},
                    Arguments{"--pod", "\xff"}, Arguments{"--server", "example.com:4270"}));

TEST(ObserveOptions, SettingsComeFromTheEnvironment) {
  const ScopedVariable server("PODTAP_SERVER", "[::1]:1");
  const ScopedVariable output("PODTAP_OUTPUT", "json");
  const ScopedVariable level("PODTAP_LOG_LEVEL", "debug");
  const ObserveOptions options = Options({}, {.stdout_is_terminal = true});
  EXPECT_EQ(options.server.ToString(), "[::1]:1");
  EXPECT_TRUE(options.json);
  EXPECT_EQ(options.log_level, "debug");
}

// A variable that hides events would not be noticed.
TEST(ObserveOptions, QuestionsComeFromTheCommandLineAlone) {
  std::vector<std::unique_ptr<ScopedVariable>> variables;
  for (const char* name : {"NAMESPACE", "POD", "TO_POD", "METHOD", "PATH", "STATUS", "REPORTER",
                           "NOT", "LAST", "SINCE", "UNTIL", "FOLLOW"}) {
    variables.push_back(std::make_unique<ScopedVariable>(std::string("PODTAP_") + name, "1"));
  }
  const ObserveOptions options = Options({});
  EXPECT_TRUE(options.include.empty());
  EXPECT_TRUE(options.exclude.empty());
  EXPECT_FALSE(options.follow);
  EXPECT_EQ(options.last, 20);
  EXPECT_FALSE(options.time_range.has_start_time());
}

TEST(ObserveOptions, InjectedVariablesChangeNothing) {
  const ScopedVariable port("PODTAP_COLLECTOR_PORT", "tcp://10.0.0.1:4270");
  const ScopedVariable collector("PODTAP_COLLECTOR", "tcp://10.0.0.1:4270");
  const ScopedVariable server("PODTAP_SERVER", "tcp://10.0.0.1:4270");
  EXPECT_EQ(Options({}).server.ToString(), "127.0.0.1:4270");
}

TEST(ObserveOptions, ACommandIsNeeded) {
  const char* const argv[] = {"podtap"};
  testing::internal::CaptureStderr();
  const auto parsed = ParseArguments(1, argv, {});
  testing::internal::GetCapturedStderr();
  ASSERT_TRUE(std::holds_alternative<int>(parsed));
  EXPECT_EQ(std::get<int>(parsed), 2);
}

}  // namespace
}  // namespace podtap::cli
