#include "agent/options.h"

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/scoped_variable.h"
#include "tests/support/temp_dir.h"

namespace podtap {
namespace {

using Arguments = std::vector<const char*>;

std::variant<AgentOptions, int> Parse(Arguments arguments) {
  arguments.insert(arguments.begin(), "podtap-agent");
  return ParseAgentOptions(static_cast<int>(arguments.size()), arguments.data());
}

AgentOptions Options(const Arguments& arguments) {
  auto parsed = Parse(arguments);
  EXPECT_TRUE(std::holds_alternative<AgentOptions>(parsed));
  return std::holds_alternative<AgentOptions>(parsed) ? std::get<AgentOptions>(std::move(parsed))
                                                      : AgentOptions();
}

// What is said of a mistake.
std::string Error(const Arguments& arguments) {
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  const auto parsed = Parse(arguments);
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "");
  const int* exit_code = std::get_if<int>(&parsed);
  EXPECT_TRUE(exit_code != nullptr && *exit_code == 2);
  return testing::internal::GetCapturedStderr();
}

TEST(AgentOptions, HaveDefaults) {
  const AgentOptions options = Options({"--stdout"});
  EXPECT_FALSE(options.collector);
  EXPECT_EQ(options.admin_listen->ToString(), "127.0.0.1:4272");
  EXPECT_TRUE(options.to_stdout);
  EXPECT_NE(options.node_name, "") << "the host's";
  EXPECT_EQ(options.cluster_name, "");
  EXPECT_EQ(options.capture_bytes, 4096);
  EXPECT_EQ(options.ring_bytes, 8 << 20);
  EXPECT_EQ(options.reporters, enrichment::ReporterFilter::kBoth);
  EXPECT_EQ(options.metadata_hold_ns, 2'000'000'000);
  EXPECT_EQ(options.log_level, "info");
}

TEST(AgentOptions, TakeWhatTheFlagsSay) {
  const AgentOptions options = Options(
      {"--collector", "[::1]:4270", "--node-name=n1", "--cluster-name=c1", "--capture-bytes=256",
       "--ring-bytes=1MiB", "--reporters=server", "--log-level=debug", "--discovery=netns"});
  EXPECT_EQ(options.collector->ToString(), "[::1]:4270");
  EXPECT_FALSE(options.to_stdout);
  EXPECT_EQ(options.node_name, "n1");
  EXPECT_EQ(options.cluster_name, "c1");
  EXPECT_EQ(options.capture_bytes, 256);
  EXPECT_EQ(options.ring_bytes, 1 << 20);
  EXPECT_EQ(options.reporters, enrichment::ReporterFilter::kServer);
  EXPECT_EQ(options.log_level, "debug");
  EXPECT_EQ(Options({"--stdout", "--ring-bytes=65536"}).ring_bytes, 65536);
  EXPECT_FALSE(Options({"--stdout", "--admin-listen", ""}).admin_listen);
  EXPECT_EQ(
      Options({"--stdout", "--admin-listen=0.0.0.0:1", "--insecure"}).admin_listen->ToString(),
      "0.0.0.0:1");
}

TEST(AgentOptions, NameTheSourceOfPods) {
  EXPECT_EQ(Options({"--stdout"}).discovery, Discovery::kAuto);
  EXPECT_EQ(Options({"--stdout"}).inside.interfaces, PodNetnsMode::kNever);
  EXPECT_EQ(Options({"--stdout", "--pod-netns", "fallback"}).inside.interfaces,
            PodNetnsMode::kFallback);
  EXPECT_EQ(Options({"--stdout", "--pod-netns", "always"}).inside.interfaces,
            PodNetnsMode::kAlways);
  EXPECT_FALSE(Options({"--stdout"}).inside.loopback);
  EXPECT_FALSE(Options({"--stdout"}).inside.enters_pods());
  EXPECT_TRUE(Options({"--stdout", "--pod-netns", "fallback"}).inside.enters_pods());
  const InsidePolicy loopback = Options({"--stdout", "--pod-loopback"}).inside;
  EXPECT_TRUE(loopback.loopback);
  EXPECT_TRUE(loopback.enters_pods());
  EXPECT_EQ(loopback.interfaces, PodNetnsMode::kNever);
  EXPECT_FALSE(Options({"--stdout", "--pod-loopback=false"}).inside.loopback);
  EXPECT_EQ(Options({"--stdout"}).cri_socket_path, "");
  EXPECT_EQ(Options({"--stdout", "--discovery", "netns"}).discovery, Discovery::kNetns);
  EXPECT_EQ(Options({"--stdout", "--discovery", "proc"}).discovery, Discovery::kProc);
  const AgentOptions options =
      Options({"--stdout", "--discovery", "cri", "--cri-endpoint", "unix:///run/x/y.sock"});
  EXPECT_EQ(options.discovery, Discovery::kCri);
  EXPECT_EQ(options.cri_socket_path, "/run/x/y.sock");
}

TEST(AgentOptions, SayWhichPodsAndExchangesAreWanted) {
  EXPECT_TRUE(Options({"--stdout"}).pods.selects_all());
  EXPECT_FALSE(Options({"--stdout"}).traffic.only_known_pods);
  const ScopedVariable label("PODTAP_EXCLUDE_LABEL", "skip,tier=test");
  const AgentOptions options =
      Options({"--stdout", "--include-namespace", "shop,team-*", "--include-namespace", "office",
               "--exclude-pod=db-?", "--include-port", "80,8080", "--exclude-port", "9090",
               "--exclude-probes"});
  const auto reason = [&](const char* in, const char* name,
                          std::map<std::string, std::string> labels = {}) {
    return options.pods.ReasonToExclude(
        {.namespace_name = in, .pod_name = name, .labels = std::move(labels)});
  };
  EXPECT_EQ(reason("shop", "web"), "");
  EXPECT_EQ(reason("team-a", "web"), "");
  EXPECT_EQ(reason("office", "web"), "");
  EXPECT_EQ(reason("other", "web"), "matches no --include-namespace");
  EXPECT_EQ(reason("shop", "db-1"), "excluded by --exclude-pod db-?");
  EXPECT_EQ(reason("shop", "web", {{"tier", "test"}}), "excluded by --exclude-label tier=test");
  EXPECT_EQ(reason("shop", "web", {{"skip", ""}}), "excluded by --exclude-label skip");
  EXPECT_THAT(options.traffic.include_ports, testing::ElementsAre(80, 8080));
  EXPECT_THAT(options.traffic.exclude_ports, testing::ElementsAre(9090));
  EXPECT_TRUE(options.traffic.exclude_probes);
  EXPECT_TRUE(options.traffic.only_known_pods);
}

TEST(AgentOptions, PortsAndProbesAloneLeaveNoPodOut) {
  const AgentOptions options = Options({"--stdout", "--exclude-probes", "--include-port=1"});
  EXPECT_TRUE(options.pods.selects_all());
  EXPECT_FALSE(options.traffic.only_known_pods);
}

TEST(AgentOptions, SelectionsComeFromTheFileToo) {
  const TempDir directory;
  const std::string path = directory.path() + "/agent.yaml";
  std::ofstream(path) << "stdout: true\nexclude-namespace: [kube-system, kube-public]\n"
                         "include-port: 80\nexclude-probes: true\n";
  const AgentOptions options = Options({"--config", path.c_str()});
  EXPECT_EQ(options.pods.ReasonToExclude({.namespace_name = "kube-public"}),
            "excluded by --exclude-namespace kube-public");
  EXPECT_THAT(options.traffic.include_ports, testing::ElementsAre(80));
  EXPECT_TRUE(options.traffic.exclude_probes);
}

TEST(AgentOptions, ComeFromEnvironmentAndFile) {
  const TempDir directory;
  const std::string path = directory.path() + "/agent.yaml";
  std::ofstream(path) << "stdout: true\nnode-name: file\nring-bytes: 1MiB\n";
  const ScopedVariable config("PODTAP_CONFIG", path);
  const ScopedVariable name("PODTAP_NODE_NAME", "variable");
  const ScopedVariable reporters("PODTAP_REPORTERS", "client");
  const AgentOptions options = Options({"--reporters", "server"});
  EXPECT_TRUE(options.to_stdout);
  EXPECT_EQ(options.node_name, "variable");
  EXPECT_EQ(options.ring_bytes, 1 << 20);
  EXPECT_EQ(options.reporters, enrichment::ReporterFilter::kServer);
}

// What Kubernetes sets in the pods of a namespace with services "podtap" and "podtap-collector".
TEST(AgentOptions, AreNotChangedByInjectedVariables) {
  const ScopedVariable host("PODTAP_COLLECTOR_SERVICE_HOST", "10.0.0.1");
  const ScopedVariable port("PODTAP_COLLECTOR_PORT", "tcp://10.0.0.1:4270");
  const ScopedVariable collector("PODTAP_COLLECTOR", "tcp://10.0.0.1:4270");
  const AgentOptions options = Options({"--stdout"});
  EXPECT_FALSE(options.collector);
}

TEST(AgentOptions, MistakesInVariablesNameThem) {
  const ScopedVariable collector("PODTAP_COLLECTOR", "192.0.2.1:4270");
  EXPECT_THAT(Error({}), testing::StartsWith("podtap-agent: PODTAP_COLLECTOR: 192.0.2.1:4270 is "
                                             "not a loopback address"));
  const ScopedVariable ring("PODTAP_RING_BYTES", "7MiB");
  EXPECT_THAT(
      Error({"--stdout", "--collector", "localhost:1"}),
      testing::StartsWith("podtap-agent: PODTAP_RING_BYTES: 7340032 is not a power of two"));
}

class BadAgentOptions : public testing::TestWithParam<Arguments> {};

TEST_P(BadAgentOptions, AreAUsageErrorOfOneLine) {
  const std::string text = Error(GetParam());
  EXPECT_THAT(text, testing::StartsWith("podtap-agent: "));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
}

INSTANTIATE_TEST_SUITE_P(
    All, BadAgentOptions,
    testing::Values(
        Arguments{}, Arguments{"--stdout", "--bogus"}, Arguments{"argument"},
        Arguments{"--collector"}, Arguments{"--collector", "nonsense"},
        Arguments{"--collector", "host:65536"}, Arguments{"--collector", ":1"},
        Arguments{"--collector", "192.0.2.1:4270"},
        Arguments{"--collector", "localhost:1", "--collector", "localhost:2"},
        Arguments{"--stdout", "--admin-listen", "0.0.0.0:4272"},
        Arguments{"--stdout", "--admin-listen", "4272"}, Arguments{"--stdout", "-o", "xml"},
        Arguments{"--collector", "localhost:1", "-o", "json"},
        Arguments{"--stdout", "--pod-netns", "often"},
        Arguments{"--stdout", "--discovery", "guess"},
        Arguments{"--stdout", "--discovery", "proc", "--cri-endpoint", "unix:///run/x.sock"},
        Arguments{"--stdout", "--cri-endpoint", "/run/x.sock"},
        Arguments{"--stdout", "--cri-endpoint", "unix://run/x.sock"},
        Arguments{"--stdout", "--cri-endpoint", "unix:///"},
        Arguments{"--stdout", "--cri-endpoint", "unix:///run/%41"},
        Arguments{"--stdout", "--cri-endpoint",
                  "unix:///xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
        Arguments{"--stdout", "--cri-endpoint", "tcp://127.0.0.1:1"},
        Arguments{"--stdout", "--discovery", "netns", "--cri-endpoint", "unix:///run/x.sock"},
        Arguments{"--stdout", "--include-namespace", ""},
        Arguments{"--stdout", "--include-namespace", "a/b"}, Arguments{"--stdout", "--include-pod"},
        Arguments{"--stdout", "--exclude-pod", "[ab]"},
        Arguments{"--stdout", "--include-label", "=x"},
        Arguments{"--stdout", "--exclude-label", "app in (a)"},
        Arguments{"--stdout", "--include-port", "0"},
        Arguments{"--stdout", "--include-port", "65536"},
        Arguments{"--stdout", "--exclude-port", "80-90"},
        Arguments{"--stdout", "--exclude-port", "http"},
        Arguments{"--stdout", "--exclude-probes", "web"},
        Arguments{"--stdout", "--node-name", "a/b"},
        Arguments{"--stdout", "--node-name", "\x1b]0;x\a"},
        Arguments{"--stdout", "--capture-bytes", "255"},
        Arguments{"--stdout", "--capture-bytes", "16385"},
        Arguments{"--stdout", "--capture-bytes", "-1"},
        Arguments{"--stdout", "--metadata-hold", "61s"},
        Arguments{"--stdout", "--metadata-hold", "2"},
        Arguments{"--stdout", "--capture-bytes", "4294967552"},
        Arguments{"--stdout", "--ring-bytes", "1000"}, Arguments{"--stdout", "--ring-bytes", "0"},
        Arguments{"--stdout", "--ring-bytes", "32KiB"},
        Arguments{"--stdout", "--ring-bytes", "2GiB"}, Arguments{"--stdout", "--ring-bytes", "x"},
        Arguments{"--stdout", "--reporters", "none"}, Arguments{"--stdout", "--log-level", "loud"},
        Arguments{"--stdout", "--config", "/nonexistent"}));

}  // namespace
}  // namespace podtap
