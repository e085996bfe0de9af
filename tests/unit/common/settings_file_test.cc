#include "common/settings_file.h"

#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace podtap {
namespace {

// Settings as text, one per line: "line key = value, value", brackets around lists.
std::string Text(const std::vector<FileSetting>& settings) {
  std::string text;
  for (const FileSetting& setting : settings) {
    text += std::to_string(setting.line) + " " + setting.key + " =" + (setting.is_list ? " [" : "");
    for (const std::string& value : setting.values) {
      text += " " + value;
    }
    text += setting.is_list ? " ]\n" : "\n";
  }
  return text;
}

std::string Parsed(const std::string& text) {
  const auto settings = ParseSettings("x.yaml", text);
  EXPECT_TRUE(settings.ok()) << settings.status();
  return settings.ok() ? Text(*settings) : std::string();
}

TEST(SettingsFile, HoldsScalarsAndLists) {
  EXPECT_EQ(Parsed("# comment\n"
                   "node-name: a\n"
                   "retention: 24h   # behind a value\r\n"
                   "\n"
                   "\"listen\": '127.0.0.1:4270'\n"
                   "insecure: yes\n"
                   "number: 010\n"
                   "names:\n  - a\n  - \"b\\u00e4\"\n"
                   "flow: [c, d]\n"
                   "empty: ''\n"),
            "2 node-name = a\n"
            "3 retention = 24h\n"
            "5 listen = 127.0.0.1:4270\n"
            "6 insecure = yes\n"
            "7 number = 010\n"
            "8 names = [ a b\u00e4 ]\n"
            "11 flow = [ c d ]\n"
            "12 empty = \n");
}

TEST(SettingsFile, MayBeEmpty) {
  EXPECT_EQ(Parsed(""), "");
  EXPECT_EQ(Parsed("# nothing\n\n"), "");
  EXPECT_EQ(Parsed("---\n"), "");
  EXPECT_EQ(Parsed("{}"), "");
}

struct BadText {
  std::string text;
  std::string error;
};

class BadSettings : public testing::TestWithParam<BadText> {};

TEST_P(BadSettings, AreAnErrorWithItsLine) {
  const auto settings = ParseSettings("x.yaml", GetParam().text);
  ASSERT_FALSE(settings.ok());
  EXPECT_THAT(std::string(settings.status().message()),
              testing::StartsWith("x.yaml:" + GetParam().error));
  EXPECT_THAT(std::string(settings.status().message()), testing::Not(testing::HasSubstr("\n")));
}

std::string Repeat(const std::string& text, int count) {
  std::string repeated;
  for (int i = 0; i < count; ++i) {
    repeated += text;
  }
  return repeated;
}

INSTANTIATE_TEST_SUITE_P(
    All, BadSettings,
    testing::Values(
        BadText{"a: 1\nb: 2\na: 3\n", "3: a: is in line 1 already"},
        BadText{"a:\n  b: 1\n", "2: a map inside the map"},
        BadText{"a: [b, [c]]\n", "1: a list stands where none can be"},
        BadText{"a: [{b: c}]\n", "1: a map inside the map"}, BadText{"a:\n", "1: a: has no value"},
        BadText{"a: ~\n", "1: a: has no value"}, BadText{"a: [~]\n", "1: a: has no value"},
        BadText{"~: a\n", "1: a key is empty"}, BadText{"- a\n", "1: a list stands where"},
        BadText{"[a]: b\n", "1: a list stands where"}, BadText{"text\n", "1: not a map"},
        BadText{"a: &x 1\nb: *x\n", "1: anchors"}, BadText{"a: &x [1]\n", "1: anchors"},
        BadText{"a: 1\nb: !!str 2\n", "2: tags"}, BadText{"a: 1\n---\nb: 2\n", "2: a second"},
        BadText{"ä: 'x''y'\r\nb: \"\\\"\"\r\nc: \"x\nd: 1\n", "3: a quote is not closed"},
        BadText{"a: 'x\n", "1: a quote is not closed"}, BadText{"a: b: c\n", "1: not YAML"},
        BadText{"a: 1\n\tb: 2\n", "2: not YAML"}, BadText{"a: *x\n", "1: not YAML"},
        BadText{"a: 1\nb: \x1b[31m\n", "2: holds control"},
        BadText{"a: \xff\n", "1: holds control"},
        BadText{"a: \"\\e[31m\"\n", "1: \"%1B[31m\" holds control"},
        BadText{"a: |\n  b\n  c\n", "1: \"b%0Ac%0A\" holds control"},
        BadText{std::string("a: 1\0\n", 6), "1: holds control"},
        BadText{std::string("\xff\xfe") + std::string("a\0:\0 \0b\0", 8), "1: holds control"},
        // Aliases of aliases, which would be a billion nodes.
        BadText{"a: &a [x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "1: anchors"},
        // Deep, and not closed.
        BadText{Repeat("[", 60'000), "1: "}, BadText{"a: " + Repeat("[", 60'000), "1: "},
        BadText{Repeat("{a: ", 15'000), "1: "}, BadText{Repeat("- ", 30'000), "1: "},
        BadText{Repeat("? ", 30'000), "1: "}));

std::string ReadError(const std::string& path) {
  const auto settings = ReadSettingsFile(path);
  EXPECT_FALSE(settings.ok());
  return settings.ok() ? std::string() : std::string(settings.status().message());
}

TEST(SettingsFile, IsReadFromARegularFileOnly) {
  const TempDir directory;
  const std::string path = directory.path() + "/podtap.yaml";
  std::ofstream(path) << "a: b\n";
  const auto settings = ReadSettingsFile(path);
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(Text(*settings), "1 a = b\n");

  const std::string missing = directory.path() + "/missing";
  EXPECT_THAT(ReadError(missing), testing::StartsWith(missing + ": can't be opened: No such file"));
  EXPECT_EQ(ReadError(directory.path()), directory.path() + ": is not a regular file");
  const std::string pipe = directory.path() + "/pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(ReadError(pipe), pipe + ": is not a regular file");
  EXPECT_THAT(ReadError(""), testing::HasSubstr("can't be opened"));
  EXPECT_THAT(ReadError("/no\nsuch"), testing::StartsWith("/no%0Asuch: "));
}

TEST(SettingsFile, IsSmall) {
  const TempDir directory;
  const std::string path = directory.path() + "/podtap.yaml";
  std::ofstream(path) << "a: b\n" << std::string((64 << 10) - 5, '#');
  EXPECT_TRUE(ReadSettingsFile(path).ok());
  std::ofstream(path, std::ios::app) << '#';
  EXPECT_EQ(ReadError(path), path + ": is larger than 64 KiB");
}

}  // namespace
}  // namespace podtap
