#include "common/command_line.h"

#include <cstdint>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "common/nearest_name.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/scoped_variable.h"
#include "tests/support/temp_dir.h"

namespace podtap {
namespace {

// A program with one option of each kind and a command.
class CommandLineTest : public testing::Test {
 protected:
  void Build() {
    command_line_.emplace("A program.", "program");
    CLI::App& app = command_line_->app();
    app.add_option("--node-name", node_name_)->type_name("NAME");
    app.add_option("--capture-bytes", capture_bytes_)->check(CLI::Range(1, 100))->type_name("N");
    app.add_option("--sink", sink_)->check(CLI::IsMember({"disk", "memory"}));
    app.add_flag("--insecure", insecure_);
    app.add_option("--allow", allow_)->allow_extra_args(false);
    app.add_option("--last", last_)->configurable(false);
    app.add_subcommand("show")->add_option("--server", server_);
    app.add_subcommand("check")->add_option("--depth", depth_);
  }

  // The exit code, or -1 when the program goes on.
  int Parse(std::vector<const char*> arguments) {
    Build();
    arguments.insert(arguments.begin(), "program");
    testing::internal::CaptureStderr();
    testing::internal::CaptureStdout();
    const std::optional<int> exit_code =
        command_line_->Parse(static_cast<int>(arguments.size()), arguments.data());
    out_ = testing::internal::GetCapturedStdout();
    error_ = testing::internal::GetCapturedStderr();
    return exit_code.value_or(-1);
  }

  std::string WriteFile(const std::string& text) {
    const std::string path = directory_.path() + "/c.yaml";
    std::ofstream(path) << text;
    return path;
  }

  // Parses with the file; a mistake in it is told without the directory's name.
  int ParseWithFile(const std::string& text, std::vector<const char*> arguments = {}) {
    const std::string path = WriteFile(text);
    arguments.insert(arguments.begin(), {"--config", path.c_str()});
    const int exit_code = Parse(arguments);
    if (const size_t at = error_.find(directory_.path() + "/"); at != std::string::npos) {
      error_.erase(at, directory_.path().size() + 1);
    }
    return exit_code;
  }

  TempDir directory_;
  std::optional<CommandLine> command_line_;
  std::string node_name_ = "default";
  uint32_t capture_bytes_ = 10;
  std::string sink_ = "disk";
  bool insecure_ = false;
  std::vector<std::string> allow_;
  int last_ = 0;
  std::string server_ = "default";
  int depth_ = 0;
  std::string out_;
  std::string error_;
};

TEST_F(CommandLineTest, FlagBeatsVariableBeatsFileBeatsDefault) {
  const ScopedVariable name("PODTAP_NODE_NAME", "variable");
  const ScopedVariable bytes("PODTAP_CAPTURE_BYTES", "20");
  EXPECT_EQ(
      ParseWithFile("node-name: file\ncapture-bytes: 30\nsink: memory\n", {"--node-name", "flag"}),
      -1);
  EXPECT_EQ(error_, "");
  EXPECT_EQ(node_name_, "flag");
  EXPECT_EQ(capture_bytes_, 20);
  EXPECT_EQ(sink_, "memory");
  EXPECT_FALSE(insecure_);
}

TEST_F(CommandLineTest, TheFileMayBeNamedByAVariable) {
  const ScopedVariable config("PODTAP_CONFIG", WriteFile("node-name: file\n"));
  EXPECT_EQ(Parse({}), -1) << error_;
  EXPECT_EQ(node_name_, "file");
}

TEST_F(CommandLineTest, AFlagBeatsTheVariableOfTheFile) {
  const ScopedVariable config("PODTAP_CONFIG", "/nonexistent");
  EXPECT_EQ(ParseWithFile("node-name: file\n"), -1) << error_;
  EXPECT_EQ(node_name_, "file");
}

TEST_F(CommandLineTest, BooleansAreWords) {
  for (const char* word : {"true", "yes", "1", "True", "YES"}) {
    const ScopedVariable insecure("PODTAP_INSECURE", word);
    insecure_ = false;
    EXPECT_EQ(Parse({}), -1) << error_;
    EXPECT_TRUE(insecure_) << word;
  }
  for (const char* word : {"false", "no", "0"}) {
    const ScopedVariable insecure("PODTAP_INSECURE", word);
    insecure_ = true;
    EXPECT_EQ(Parse({}), -1) << error_;
    EXPECT_FALSE(insecure_) << word;
  }
}

TEST_F(CommandLineTest, TheFlagTurnsOffWhatTheVariableTurnsOn) {
  const ScopedVariable insecure("PODTAP_INSECURE", "true");
  EXPECT_EQ(Parse({"--insecure=false"}), -1) << error_;
  EXPECT_FALSE(insecure_);
}

TEST_F(CommandLineTest, ListsAreForRepeatableOptions) {
  EXPECT_EQ(ParseWithFile("allow: [a, 'b,c']\n"), -1) << error_;
  EXPECT_THAT(allow_, testing::ElementsAre("a", "b,c"));
  EXPECT_EQ(ParseWithFile("allow: a\n"), -1) << error_;
  EXPECT_THAT(allow_, testing::ElementsAre("a"));
  EXPECT_EQ(ParseWithFile("node-name: [a]\n"), 2);
  EXPECT_EQ(error_, "program: c.yaml:1: node-name: takes one value, not a list (see --help)\n");
}

// Kubernetes puts addresses of services there: PODTAP_COLLECTOR_PORT=tcp://10.0.0.1:4270.
TEST_F(CommandLineTest, VariablesThatAreNotOursAreIgnored) {
  const ScopedVariable injected("PODTAP_NODE_NAME", "tcp://10.0.0.1:4270");
  const ScopedVariable udp("PODTAP_SINK", "udp://10.0.0.1:4270");
  const ScopedVariable sctp("PODTAP_CONFIG", "sctp://10.0.0.1:4270");
  const ScopedVariable other("PODTAP_COLLECTOR_PORT", "tcp://10.0.0.1:4270");
  const ScopedVariable unknown("PODTAP_CAPTURE_BYTE", "nonsense");
  const ScopedVariable empty("PODTAP_CAPTURE_BYTES", "");
  const ScopedVariable question("PODTAP_LAST", "7");
  const ScopedVariable help("PODTAP_HELP", "true");
  EXPECT_EQ(Parse({}), -1) << error_;
  EXPECT_EQ(node_name_, "default");
  EXPECT_EQ(sink_, "disk");
  EXPECT_EQ(capture_bytes_, 10);
  EXPECT_EQ(last_, 0);
}

TEST_F(CommandLineTest, CommandsHaveSettingsToo) {
  const ScopedVariable server("PODTAP_SERVER", "variable");
  EXPECT_EQ(Parse({}), -1);
  EXPECT_EQ(server_, "default") << "the command was not chosen";
  EXPECT_EQ(Parse({"show"}), -1);
  EXPECT_EQ(server_, "variable");
}

TEST_F(CommandLineTest, OneFileServesAllCommands) {
  const std::string path = WriteFile("server: file\ndepth: 3\n");
  EXPECT_EQ(Parse({"show", "--config", path.c_str()}), -1) << error_;
  EXPECT_EQ(server_, "file");
  EXPECT_EQ(depth_, 0);
}

TEST_F(CommandLineTest, MistakesAreNamedByTheirSource) {
  EXPECT_EQ(Parse({"--capture-bytes=0"}), 2);
  EXPECT_EQ(error_, "program: --capture-bytes: Value 0 not in range 1 to 100 (see --help)\n");
  {
    const ScopedVariable bytes("PODTAP_CAPTURE_BYTES", "0");
    EXPECT_EQ(Parse({}), 2);
    EXPECT_EQ(error_,
              "program: PODTAP_CAPTURE_BYTES: Value 0 not in range 1 to 100 (see --help)\n");
  }
  EXPECT_EQ(ParseWithFile("# first\ncapture-bytes: 0\n"), 2);
  EXPECT_EQ(error_,
            "program: c.yaml:2: capture-bytes: Value 0 not in range 1 to 100 (see --help)\n");
}

TEST_F(CommandLineTest, ChecksAfterParsingNameTheSourceToo) {
  const ScopedVariable name("PODTAP_NODE_NAME", "a");
  ASSERT_EQ(Parse({"--sink", "disk"}), -1);
  testing::internal::CaptureStderr();
  EXPECT_EQ(command_line_->UsageError("--node-name: is \"a\""), 2);
  EXPECT_EQ(command_line_->UsageError("--sink: is taken"), 2);
  EXPECT_EQ(command_line_->UsageError("--node: is unknown"), 2);
  EXPECT_EQ(testing::internal::GetCapturedStderr(),
            "program: PODTAP_NODE_NAME: is \"a\" (see --help)\n"
            "program: --sink: is taken (see --help)\n"
            "program: --node: is unknown (see --help)\n");
}

struct Mistake {
  std::vector<const char*> arguments;
  std::string variable;
  std::string value;
  std::string file;
  std::string error;
};

class Mistakes : public CommandLineTest, public testing::WithParamInterface<Mistake> {};

TEST_P(Mistakes, AreOneLineAndExitCode2) {
  const Mistake& mistake = GetParam();
  const ScopedVariable variable(mistake.variable.empty() ? "UNUSED" : mistake.variable,
                                mistake.value);
  EXPECT_EQ(mistake.file.empty() ? Parse(mistake.arguments)
                                 : ParseWithFile(mistake.file, mistake.arguments),
            2);
  EXPECT_EQ(error_, "program: " + mistake.error + " (see --help)\n");
  EXPECT_EQ(out_, "");
}

INSTANTIATE_TEST_SUITE_P(
    All, Mistakes,
    testing::Values(
        Mistake{.arguments = {"--bogus"}, .error = "--bogus: no such flag"},
        Mistake{.arguments = {"--nodename=x"},
                .error = "--nodename: no such flag; did you mean --node-name?"},
        Mistake{.arguments = {"-x"}, .error = "-x: no such flag"},
        Mistake{.arguments = {"word"},
                .error = "\"word\": not expected here; values stand behind their flags"},
        Mistake{.arguments = {"--node-name"}, .error = "--node-name: needs a value (NAME)"},
        Mistake{.arguments = {"--node-name", "a", "--node-name", "b"},
                .error = "--node-name: given 2 times; give it once"},
        Mistake{.arguments = {"--capture-bytes", "x"},
                .error = "--capture-bytes: Value x not in range 1 to 100"},
        Mistake{.arguments = {"--last", "x"},
                .error = "--last: \"x\" is not a number in its range"},
        Mistake{.arguments = {"--insecure=maybe"},
                .error = "--insecure: \"maybe\" is not true or false"},
        Mistake{.arguments = {"--sink", "tape"}, .error = "--sink: tape not in {disk,memory}"},
        Mistake{.arguments = {"--node-name", "\x1b[31m"},
                .error = "argument 2, \"%1B[31m\": holds control characters, or bytes that are not "
                         "UTF-8"},
        Mistake{.arguments = {"--\xff"},
                .error =
                    "argument 1, \"--%FF\": holds control characters, or bytes that are not UTF-8"},
        Mistake{.variable = "PODTAP_SINK",
                .value = "tape",
                .error = "PODTAP_SINK: tape not in {disk,memory}"},
        Mistake{.variable = "PODTAP_INSECURE",
                .value = "maybe",
                .error = "PODTAP_INSECURE: \"maybe\" is not true or false (or yes, no, 1, 0)"},
        Mistake{.variable = "PODTAP_NODE_NAME",
                .value = "\xff",
                .error = "PODTAP_NODE_NAME: \"%FF\" holds control characters, or bytes that are "
                         "not UTF-8"},
        Mistake{.variable = "PODTAP_CONFIG",
                .value = "/nonexistent",
                .error = "PODTAP_CONFIG: /nonexistent: can't be opened: No such file or directory"},
        Mistake{.arguments = {"--config", "/nonexistent"},
                .error = "--config: /nonexistent: can't be opened: No such file or directory"},
        Mistake{.arguments = {"--config", "/"}, .error = "--config: /: is not a regular file"},
        Mistake{.file = "node_name: x\n",
                .error = "c.yaml:1: node_name: is not a setting; did you mean node-name?"},
        Mistake{.file = "\n--sink: disk\n",
                .error = "c.yaml:2: --sink: is not a setting; did you mean sink?"},
        Mistake{.file = "last: 3\n",
                .error = "c.yaml:1: last: can be given on the command line only"},
        Mistake{.file = "config: x\n",
                .error = "c.yaml:1: config: can be given on the command line only"},
        Mistake{.file = "help: true\n",
                .error = "c.yaml:1: help: can be given on the command line only"},
        Mistake{.file = "insecure: maybe\n",
                .error = "c.yaml:1: insecure: \"maybe\" is not true or false (or yes, no, 1, 0)"},
        Mistake{.file = "allow: []\n",
                .error = "c.yaml:1: allow: the list is empty; leave the key out"},
        Mistake{.file = "sink: {a: b}\n",
                .error = "--config: c.yaml:1: a map inside the map; keys are flat, named as the "
                         "flags"}));

TEST_F(CommandLineTest, HelpAndVersionEndTheProgram) {
  const ScopedVariable bad("PODTAP_SINK", "tape");
  EXPECT_EQ(Parse({"--version"}), 0);
  EXPECT_EQ(out_, "program " PODTAP_VERSION "\n");
  EXPECT_EQ(Parse({"show", "--version"}), 0);
  EXPECT_EQ(out_, "program " PODTAP_VERSION "\n");
  EXPECT_EQ(Parse({"--help"}), 0);
  EXPECT_THAT(out_, testing::HasSubstr("--node-name"));
  EXPECT_EQ(Parse({"show", "--help"}), 0);
  EXPECT_THAT(out_, testing::HasSubstr("--server"));
  EXPECT_EQ(error_, "");
}

TEST(NearestName, IsFewErrorsAway) {
  const std::vector<std::string> names = {"collector", "node-name", "stdout"};
  EXPECT_EQ(NearestName("colector", names), "collector");
  EXPECT_EQ(NearestName("collectro", names), "collector");
  EXPECT_EQ(NearestName("nodename", names), "node-name");
  EXPECT_EQ(NearestName("stdin", names), "");
  EXPECT_EQ(NearestName("", names), "");
  EXPECT_EQ(NearestName(std::string(1000, 'x'), names), "");
}

}  // namespace
}  // namespace podtap
