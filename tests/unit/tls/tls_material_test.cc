#include "common/tls_material.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>

#include "tests/support/secret_dir.h"
#include "tests/support/test_certificates.h"

namespace podtap {
namespace {

constexpr int64_t kDayNs = int64_t{86'400} * 1'000'000'000;

absl::StatusOr<TlsMaterial> Load(const TlsPaths& paths) {
  absl::StatusOr<TlsBytes> bytes = ReadTlsFiles(paths);
  return bytes.ok() ? CheckTlsBytes(paths, *std::move(bytes)) : bytes.status();
}

class TlsMaterialTest : public ::testing::Test {
 protected:
  TlsMaterialTest() {
    paths_ = {.ca = directory_.path("ca"),
              .certificate = directory_.path("cert"),
              .key = directory_.path("key")};
  }

  // Replaces one file, loads all, and expects a complaint about that file.
  void ExpectRefused(const std::string& flag, const std::string& path, const std::string& content,
                     const std::string& why) {
    SecretDir::Write(path, content);
    const absl::Status status = Load(paths_).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()),
                ::testing::AllOf(::testing::StartsWith(flag + ": " + path + " "),
                                 ::testing::HasSubstr(why)));
    EXPECT_EQ(std::string(status.message()).find('\n'), std::string::npos) << status;
  }

  const TestAuthority authority_;
  const TestCertificate certificate_ = authority_.Issue();
  SecretDir directory_{{{"ca", authority_.certificate_pem()},
                        {"cert", certificate_.certificate_pem},
                        {"key", certificate_.key_pem}}};
  TlsPaths paths_;
};

TEST_F(TlsMaterialTest, TakesGoodFiles) {
  const auto material = Load(paths_);
  ASSERT_TRUE(material.ok()) << material.status();
  EXPECT_EQ(material->serial, certificate_.serial);
  const auto now_s = static_cast<double>(std::time(nullptr));
  EXPECT_NEAR(static_cast<double>(material->not_before_s), now_s - 3'600, 60);
  EXPECT_NEAR(static_cast<double>(material->not_after_s), now_s + 365 * 86'400, 60);
  EXPECT_EQ(material->key_pem, certificate_.key_pem);
}

TEST_F(TlsMaterialTest, TakesChainsBundlesAndText) {
  SecretDir::Write(paths_.ca, "# two of them\n" + authority_.certificate_pem() + "\ntext\n" +
                                  TestAuthority("second").certificate_pem());
  SecretDir::Write(paths_.certificate, certificate_.certificate_pem + authority_.certificate_pem());
  EXPECT_TRUE(Load(paths_).ok()) << Load(paths_).status();
}

TEST_F(TlsMaterialTest, NamesFlagAndFile) {
  const std::string& good = certificate_.certificate_pem;
  const std::string half = good.substr(0, good.size() / 2);
  ExpectRefused("--tls-ca", paths_.ca, "", "is empty");
  ExpectRefused("--tls-ca", paths_.ca, "no PEM", "holds no certificate in PEM form");
  ExpectRefused("--tls-ca", paths_.ca, half, "cut short or damaged");
  ExpectRefused("--tls-ca", paths_.ca, good + half, "cut short or damaged");
  ExpectRefused("--tls-ca", paths_.ca, std::string((1 << 20) + 1, 'x'), "larger than 1 MiB");
  SecretDir::Write(paths_.ca, authority_.certificate_pem());
  ExpectRefused("--tls-cert", paths_.certificate, certificate_.key_pem, "holds no certificate");
  ExpectRefused("--tls-cert", paths_.certificate, half, "cut short or damaged");
  SecretDir::Write(paths_.certificate, good);
  ExpectRefused("--tls-key", paths_.key, good, "holds no private key");
  ExpectRefused("--tls-key", paths_.key,
                certificate_.key_pem.substr(0, certificate_.key_pem.size() / 2),
                "holds no private key");
  ExpectRefused("--tls-key", paths_.key, EncryptKey(certificate_.key_pem), "is encrypted");
  ExpectRefused("--tls-key", paths_.key, authority_.Issue().key_pem,
                "is not the key of the certificate in " + paths_.certificate);
}

TEST_F(TlsMaterialTest, NamesAFileThatCantBeRead) {
  paths_.key = directory_.path("absent");
  EXPECT_EQ(std::string(Load(paths_).status().message()),
            "--tls-key: " + paths_.key + ": No such file or directory");
  paths_.key = directory_.path("..data");
  EXPECT_EQ(std::string(Load(paths_).status().message()),
            "--tls-key: " + paths_.key + " is not a file");
}

TEST_F(TlsMaterialTest, WarnsAMonthAhead) {
  const auto material = Load(paths_);
  const int64_t now_ns = static_cast<int64_t>(std::time(nullptr)) * 1'000'000'000;
  const auto warning = [&](int days) {
    return ExpiryWarning(paths_, *material, now_ns + days * kDayNs);
  };
  EXPECT_EQ(warning(0), "");
  EXPECT_EQ(warning(334), "");
  EXPECT_THAT(warning(336),
              ::testing::StartsWith("--tls-cert: " + paths_.certificate + " expires on "));
  EXPECT_THAT(warning(366),
              ::testing::StartsWith("--tls-cert: " + paths_.certificate + " has expired on "));
  EXPECT_THAT(warning(-1), ::testing::HasSubstr("is not valid before"));
}

TEST_F(TlsMaterialTest, WarnsOfAnAuthorityWhenNoneOutlivesIt) {
  const TestAuthority brief("brief", int64_t{10} * 86'400);
  SecretDir::Write(paths_.ca, brief.certificate_pem());
  const int64_t now_ns = static_cast<int64_t>(std::time(nullptr)) * 1'000'000'000;
  EXPECT_THAT(ExpiryWarning(paths_, *Load(paths_), now_ns),
              ::testing::StartsWith("--tls-ca: " + paths_.ca + " expires on "));
  SecretDir::Write(paths_.ca, brief.certificate_pem() + authority_.certificate_pem());
  EXPECT_EQ(ExpiryWarning(paths_, *Load(paths_), now_ns), "");
}

}  // namespace
}  // namespace podtap
