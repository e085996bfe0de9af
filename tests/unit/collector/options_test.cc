#include "collector/options.h"

#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/scoped_variable.h"
#include "tests/support/temp_dir.h"

namespace podtap {
namespace {

std::variant<CollectorCommand, int> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "podtap-collector");
  return ParseCollectorCommand(static_cast<int>(arguments.size()), arguments.data());
}

TEST(CollectorOptions, HasDefaults) {
  const auto parsed = Parse({});
  const auto* command = std::get_if<CollectorCommand>(&parsed);
  ASSERT_NE(command, nullptr);
  EXPECT_EQ(command->options.listen.ToString(), "127.0.0.1:4270");
  EXPECT_EQ(command->options.admin_listen->ToString(), "127.0.0.1:4271");
  EXPECT_EQ(command->options.store.directory, "/var/lib/podtap");
  EXPECT_EQ(command->options.store.retention_ns, int64_t{24} * 3600 * 1'000'000'000);
  EXPECT_EQ(command->options.store.retention_bytes, uint64_t{8} << 30);
}

TEST(CollectorOptions, TakesUnits) {
  const auto parsed = Parse(
      {"--retention=7d", "--retention-bytes", "512MiB", "--listen=[::1]:0", "--store=sqlite:data"});
  const auto* command = std::get_if<CollectorCommand>(&parsed);
  ASSERT_NE(command, nullptr);
  EXPECT_EQ(command->options.listen.ToString(), "[::1]:0");
  EXPECT_EQ(command->options.store.directory, "data");
  EXPECT_EQ(command->options.store.retention_ns, int64_t{7} * 86'400 * 1'000'000'000);
  EXPECT_EQ(command->options.store.retention_bytes, uint64_t{512} << 20);
}

class BadCollectorOption : public testing::TestWithParam<const char*> {};

TEST_P(BadCollectorOption, IsAUsageErrorOfOneLine) {
  testing::internal::CaptureStderr();
  const auto parsed = Parse({GetParam()});
  const std::string text = testing::internal::GetCapturedStderr();
  ASSERT_TRUE(std::holds_alternative<int>(parsed));
  EXPECT_EQ(std::get<int>(parsed), 2);
  EXPECT_THAT(text, testing::StartsWith("podtap-collector: "));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
}

INSTANTIATE_TEST_SUITE_P(
    All, BadCollectorOption,
    testing::Values("--bogus", "argument", "--retention=0s", "--retention=24", "--retention=-1h",
                    "--retention=1w", "--retention=99999999999d", "--retention-bytes=1GB",
                    "--retention-bytes=1", "--retention-bytes=", "--retention-bytes=99999999999TiB",
                    "--store=data", "--store=sqlite:", "--store=clickhouse:x", "--listen=4270",
                    "--listen=0.0.0.0:4270", "--admin-listen=0.0.0.0:4271", "--admin-listen=x",
                    "--listen=127.0.0.1:65536", "--log-level=loud"));

TEST(CollectorOptions, ComeFromEnvironmentAndFile) {
  const TempDir directory;
  const std::string path = directory.path() + "/collector.yaml";
  std::ofstream(path) << "retention: 5m\nretention-bytes: 1GiB\nlisten: '[::1]:1'\n";
  const ScopedVariable config("PODTAP_CONFIG", path);
  const ScopedVariable retention("PODTAP_RETENTION", "6m");
  const auto parsed = Parse({"--retention-bytes=2GiB"});
  const auto* command = std::get_if<CollectorCommand>(&parsed);
  ASSERT_NE(command, nullptr);
  EXPECT_EQ(command->options.listen.ToString(), "[::1]:1");
  EXPECT_EQ(command->options.store.retention_ns, int64_t{360} * 1'000'000'000);
  EXPECT_EQ(command->options.store.retention_bytes, uint64_t{2} << 30);
}

TEST(CollectorOptions, MistakesNameTheirSource) {
  const TempDir directory;
  const std::string path = directory.path() + "/collector.yaml";
  std::ofstream(path) << "log-level: info\nlisten: nonsense\n";
  testing::internal::CaptureStderr();
  EXPECT_TRUE(std::holds_alternative<int>(Parse({("--config=" + path).c_str()})));
  const ScopedVariable retention("PODTAP_RETENTION", "1w");
  EXPECT_TRUE(std::holds_alternative<int>(Parse({})));
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "podtap-collector: " + path +
                ":2: listen: \"nonsense\" is not HOST:PORT (no port) (see --help)\n"
                "podtap-collector: PODTAP_RETENTION: \"1w\" is not a duration like 90s, 5m, 24h or "
                "7d (see --help)\n");
}

TEST(CollectorOptions, InjectedVariablesChangeNothing) {
  const ScopedVariable port("PODTAP_COLLECTOR_PORT", "tcp://10.0.0.1:4270");
  const ScopedVariable collector("PODTAP_COLLECTOR", "tcp://10.0.0.1:4270");
  const ScopedVariable listen("PODTAP_LISTEN", "tcp://10.0.0.1:4270");
  const auto parsed = Parse({});
  const auto* command = std::get_if<CollectorCommand>(&parsed);
  ASSERT_NE(command, nullptr);
  EXPECT_EQ(command->options.listen.ToString(), "127.0.0.1:4270");
}

TEST(CollectorOptions, PlainTextBeyondLoopbackNeedsInsecure) {
  const auto parsed = Parse({"--listen=0.0.0.0:4270", "--admin-listen=0.0.0.0:4271", "--insecure"});
  EXPECT_TRUE(std::holds_alternative<CollectorCommand>(parsed));
}

TEST(CollectorOptions, AnEmptyTextTurnsTheAdminPortOff) {
  const auto parsed = Parse({"--admin-listen", ""});
  ASSERT_TRUE(std::holds_alternative<CollectorCommand>(parsed));
  EXPECT_FALSE(std::get<CollectorCommand>(parsed).options.admin_listen);
}

}  // namespace
}  // namespace podtap
