#include "agent/discovery/cri/sandbox_info.h"

#include <gtest/gtest.h>

namespace podtap::discovery::cri {
namespace {

std::string PathOf(std::string_view json) { return ParseSandboxInfo(json).NamespacePath(); }

TEST(SandboxInfo, TakesThePathOfTheNetworkNamespace) {
  EXPECT_EQ(PathOf(R"({"pid": 7, "image": "pause", "runtimeSpec": {"ociVersion": "1.0.2",
      "process": {"args": ["/pause"], "user": {"uid": 65535}},
      "linux": {"resources": {}, "namespaces": [
        {"type": "pid"}, {"type": "ipc", "path": "/var/run/ipc/x"},
        {"type": "network", "path": "/var/run/netns/cni-1"}, {"type": "mount"}],
        "maskedPaths": ["/proc/acpi"]}}})"),
            "/var/run/netns/cni-1");
  EXPECT_EQ(PathOf(R"({"runtimeSpec": {"linux": {"namespaces": [
      {"path": "/run/netns/first-key", "type": "network"}, {"type": "pid"}]}}})"),
            "/run/netns/first-key");
}

TEST(SandboxInfo, FallsBackToWhatElseARuntimeTells) {
  EXPECT_EQ(PathOf(R"({"sandboxMetadata": {"Metadata": {"NetNSPath": "/run/netns/2"}}, "pid": 7})"),
            "/run/netns/2");
  EXPECT_EQ(
      PathOf(R"({"pid": 7, "runtimeSpec": {"linux": {"namespaces": [{"type": "network"}]}}})"),
      "/proc/7/ns/net");
  EXPECT_EQ(PathOf(R"({"pid": 0})"), "");
  EXPECT_EQ(PathOf(R"({"pid": -4})"), "");
  EXPECT_EQ(PathOf(R"({"pid": 18446744073709551615})"), "");
  EXPECT_EQ(PathOf(R"({"pid": 1.5})"), "");
}

// Everything else in the text is the pod author's to write.
TEST(SandboxInfo, OnlyTheOnePlaceCounts) {
  EXPECT_EQ(PathOf(R"({"config": {"runtimeSpec": {"linux": {"namespaces": [
      {"type": "network", "path": "/proc/1/ns/net"}]}}, "pid": 1},
      "annotations": {"runtimeSpec": {"linux": {"namespaces": [
      {"type": "network", "path": "/proc/1/ns/net"}]}}}})"),
            "");
  EXPECT_EQ(PathOf(R"({"runtimeSpec": {"linux": {"namespaces": [
      {"type": "pid", "path": "/a", "more": {"type": "network", "path": "/b"}}]}}})"),
            "");
  EXPECT_EQ(PathOf(R"({"runtimeSpec": {"linux": {"namespaces": [
      {"type": "network", "more": {"path": "/b"}}]}}})"),
            "");
  EXPECT_EQ(PathOf(R"({"runtimeSpec": {"linux": {"namespaces": [[
      {"type": "network", "path": "/b"}]]}}})"),
            "");
  // One entry's path is not another's.
  EXPECT_EQ(PathOf(R"({"runtimeSpec": {"linux": {"namespaces": [
      {"type": "pid", "path": "/a"}, {"type": "network"}]}}})"),
            "");
}

TEST(SandboxInfo, PathsThatAreNoneAreNotUsed) {
  const auto spec = [](const std::string& path) {
    return PathOf(R"({"runtimeSpec": {"linux": {"namespaces": [{"type": "network", "path": ")" +
                  path + R"("}]}}})");
  };
  EXPECT_EQ(spec("run/netns/x"), "");
  EXPECT_EQ(spec("/run\\u0000/x"), "");
  EXPECT_EQ(spec("/" + std::string(5000, 'x')), "");
  EXPECT_EQ(spec("/x"), "/x");
}

TEST(SandboxInfo, GarbageIsNothing) {
  for (const std::string_view text :
       {"", "null", "[]", "]", "}", "{\"pid\"", "\xff\xfe", "{\"pid\": \"7\"}", "7"}) {
    EXPECT_EQ(PathOf(text), "") << text;
  }
  EXPECT_EQ(PathOf(std::string(2 << 20, '[')), "");
  EXPECT_EQ(PathOf(std::string(100'000, '[')), "");
  std::string nested;
  for (int i = 0; i < 100'000; ++i) {
    nested += "{\"a\":";
  }
  EXPECT_EQ(PathOf(nested), "");
  EXPECT_EQ(PathOf("{\"x\": \"" + std::string(2 << 20, 'x') + "\", \"pid\": 7}"), "");
}

}  // namespace
}  // namespace podtap::discovery::cri
