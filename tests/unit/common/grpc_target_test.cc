#include "common/grpc_target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace podtap {
namespace {

TEST(ParseHostPort, ReadsNamesAndAddresses) {
  const auto name = ParseHostPort("--collector", "collector.podtap.svc:4270");
  ASSERT_TRUE(name.ok()) << name.status();
  EXPECT_EQ(name->host, "collector.podtap.svc");
  EXPECT_EQ(name->port, 4270);
  EXPECT_FALSE(name->is_loopback);
  EXPECT_EQ(name->ToString(), "collector.podtap.svc:4270");

  const auto v6 = ParseHostPort("--collector", "[fd00::1]:1");
  ASSERT_TRUE(v6.ok()) << v6.status();
  EXPECT_EQ(v6->host, "fd00::1");
  EXPECT_EQ(v6->ToString(), "[fd00::1]:1");
  // A manifest does not know which family a node's address has.
  const auto v4 = ParseHostPort("--admin-listen", "[10.0.0.1]:4272");
  ASSERT_TRUE(v4.ok());
  EXPECT_EQ(v4->ToString(), "10.0.0.1:4272");
}

TEST(ParseHostPort, KnowsLoopback) {
  for (const char* text :
       {"localhost:1", "127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1"}) {
    EXPECT_TRUE(ParseHostPort("--listen", text)->is_loopback) << text;
  }
  for (const char* text : {"0.0.0.0:1", "[::]:1", "10.0.0.127:1", "localhost.evil:1"}) {
    EXPECT_FALSE(ParseHostPort("--listen", text)->is_loopback) << text;
  }
}

TEST(ParseHostPort, RefusesAnythingElse) {
  for (const char* text :
       {"", "host", ":4270", "host:", "host:x", "host:65536", "host:-1", "host:+1", "host: 1",
        "host:1 ", "fd00::1", "[::1]", "[host]:1", "[::1:1"}) {
    const auto parsed = ParseHostPort("--listen", text);
    ASSERT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(parsed.status().message()), testing::HasSubstr("--listen"));
  }
}

TEST(CheckPlainText, NeedsInsecureBeyondLoopback) {
  const HostPort far = *ParseHostPort("--collector", "10.0.0.1:1");
  const HostPort near = *ParseHostPort("--collector", "localhost:1");
  EXPECT_TRUE(CheckPlainText("--collector", near, false).ok());
  EXPECT_TRUE(CheckPlainText("--collector", far, true).ok());
  const absl::Status refused = CheckPlainText("--collector", far, false);
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(refused.message()), testing::HasSubstr("--insecure"));
}

}  // namespace
}  // namespace podtap
