#include "common/tls_flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/secret_dir.h"
#include "tests/support/test_certificates.h"

namespace podtap {
namespace {

class TlsFlagsTest : public ::testing::Test {
 protected:
  // What the flags make of it: "plain", "tls", or the complaint.
  std::string Open(TlsRole role, const std::vector<std::string>& arguments,
                   const std::string& address = "10.0.0.1:4270") {
    CLI::App app;
    TlsFlags flags;
    AddTlsFlags(app, role, flags);
    std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
    app.parse(reversed);
    const auto files = OpenTlsFiles(role, flags, "--where", *ParseHostPort("--where", address));
    if (!files.ok()) {
      EXPECT_EQ(files.status().code(), absl::StatusCode::kInvalidArgument);
      return std::string(files.status().message());
    }
    return *files == nullptr ? "plain" : "tls";
  }

  const TestAuthority authority_;
  const TestCertificate certificate_ = authority_.Issue();
  const SecretDir directory_{{{"ca", authority_.certificate_pem()},
                              {"cert", certificate_.certificate_pem},
                              {"key", certificate_.key_pem}}};
  const std::string ca_ = "--tls-ca=" + directory_.path("ca");
  const std::string cert_ = "--tls-cert=" + directory_.path("cert");
  const std::string key_ = "--tls-key=" + directory_.path("key");
};

TEST_F(TlsFlagsTest, TlsNeedsNoInsecure) {
  EXPECT_EQ(Open(TlsRole::kServer, {cert_, key_}), "tls");
  EXPECT_EQ(Open(TlsRole::kServer, {ca_, cert_, key_}), "tls");
  EXPECT_EQ(Open(TlsRole::kClient, {ca_}), "tls");
  EXPECT_EQ(Open(TlsRole::kClient, {ca_, cert_, key_}), "tls");
}

TEST_F(TlsFlagsTest, PlainTextDoes) {
  for (const TlsRole role : {TlsRole::kServer, TlsRole::kClient}) {
    EXPECT_EQ(Open(role, {}, "127.0.0.1:1"), "plain");
    EXPECT_EQ(Open(role, {"--insecure"}), "plain");
    EXPECT_THAT(Open(role, {}), ::testing::HasSubstr("--insecure"));
  }
}

TEST_F(TlsFlagsTest, WhatDoesNotGoTogetherIsNamed) {
  for (const TlsRole role : {TlsRole::kServer, TlsRole::kClient}) {
    EXPECT_EQ(Open(role, {ca_, cert_}), "--tls-cert: needs --tls-key");
    EXPECT_EQ(Open(role, {ca_, key_}), "--tls-key: needs --tls-cert");
    EXPECT_EQ(Open(role, {ca_, cert_, key_, "--insecure"}), "--insecure: has no meaning with TLS");
  }
  EXPECT_EQ(Open(TlsRole::kServer, {ca_}), "--tls-ca: needs --tls-cert and --tls-key");
  EXPECT_EQ(Open(TlsRole::kClient, {cert_, key_}), "--tls-cert: needs --tls-ca");
  EXPECT_THAT(Open(TlsRole::kClient, {"--tls-ca=/absent"}),
              ::testing::HasSubstr("--tls-ca: /absent: No such file"));
}

}  // namespace
}  // namespace podtap
