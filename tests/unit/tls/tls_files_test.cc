#include "common/tls_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "common/log.h"
#include "spdlog/sinks/ostream_sink.h"
#include "tests/support/count_in.h"
#include "tests/support/secret_dir.h"
#include "tests/support/test_certificates.h"
#include "tests/support/wait.h"

namespace podtap {
namespace {

class TlsFilesTest : public ::testing::Test {
 protected:
  TlsFilesTest() {
    auto sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(log_text_);
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("", std::move(sink)));
    paths_ = {.ca = directory_.path("ca"),
              .certificate = directory_.path("cert"),
              .key = directory_.path("key")};
    files_ = *TlsFiles::Open(paths_);
  }
  ~TlsFilesTest() override { spdlog::set_default_logger(std::make_shared<spdlog::logger>("")); }

  SecretDir::Files FilesOf(const TestCertificate& certificate) const {
    return {{"ca", authority_.certificate_pem()},
            {"cert", certificate.certificate_pem},
            {"key", certificate.key_pem}};
  }
  size_t CountInLog(const std::string& text) const {
    return testing::CountIn(log_text_.str(), text);
  }

  std::ostringstream log_text_;
  const TestAuthority authority_;
  const TestCertificate first_ = authority_.Issue();
  const TestCertificate second_ = authority_.Issue();
  SecretDir directory_{FilesOf(first_)};
  TlsPaths paths_;
  std::shared_ptr<TlsFiles> files_;
};

TEST_F(TlsFilesTest, ASwappedLinkIsFollowed) {
  const std::shared_ptr<const TlsMaterial> before = files_->current();
  files_->Refresh();
  EXPECT_EQ(files_->current(), before) << "nothing has changed";
  directory_.Replace(FilesOf(second_));
  files_->Refresh();
  EXPECT_EQ(files_->current()->serial, second_.serial);
  EXPECT_EQ(before->serial, first_.serial) << "who uses it goes on";
  EXPECT_EQ(CountInLog("use certificate " + second_.serial), 1u) << log_text_.str();
}

TEST_F(TlsFilesTest, HalfAReplacementChangesNothingAndIsSaidOnce) {
  SecretDir::Write(paths_.certificate, second_.certificate_pem);
  for (int i = 0; i < 3; ++i) {
    files_->Refresh();
    EXPECT_EQ(files_->current()->serial, first_.serial);
  }
  EXPECT_EQ(CountInLog("can't be used"), 1u) << log_text_.str();
  EXPECT_EQ(CountInLog("is not the key of the certificate"), 1u) << log_text_.str();
  SecretDir::Write(paths_.key, second_.key_pem);
  files_->Refresh();
  EXPECT_EQ(files_->current()->serial, second_.serial);
}

TEST_F(TlsFilesTest, AnythingUnusableIsSurvived) {
  const std::string& pem = second_.certificate_pem;
  for (const std::string& content : {std::string(), pem.substr(0, pem.size() / 2), pem}) {
    SecretDir::Write(paths_.certificate, content);
    files_->Refresh();
    EXPECT_EQ(files_->current()->serial, first_.serial);
  }
  std::filesystem::remove(directory_.path("..data"));
  files_->Refresh();
  EXPECT_EQ(files_->current()->serial, first_.serial);
  EXPECT_EQ(CountInLog("No such file"), 1u) << log_text_.str();
  EXPECT_EQ(CountInLog("can't be used"), 4u) << "each for its own reason: " << log_text_.str();
  directory_.Replace(FilesOf(second_));
  files_->Refresh();
  EXPECT_EQ(files_->current()->serial, second_.serial);
}

TEST_F(TlsFilesTest, AChangedAuthorityAloneIsSeen) {
  SecretDir::Files files = FilesOf(first_);
  files["ca"] = TestAuthority("next").certificate_pem();
  directory_.Replace(files);
  files_->Refresh();
  EXPECT_EQ(files_->current()->ca_pem, files["ca"]);
}

TEST_F(TlsFilesTest, WatchingSeesChangesAndWarnsOfTheNewOnes) {
  files_->Watch(std::chrono::milliseconds(2));
  const TestCertificate brief = authority_.Issue({.valid_for_s = 3'600});
  directory_.Replace(FilesOf(brief));
  EXPECT_TRUE(testing::WaitUntil([&] { return files_->current()->serial == brief.serial; }));
  directory_.Replace(FilesOf(second_));
  EXPECT_TRUE(testing::WaitUntil([&] { return files_->current()->serial == second_.serial; }));
  files_.reset();
  EXPECT_EQ(CountInLog(paths_.certificate + " expires on"), 1u) << log_text_.str();
}

}  // namespace
}  // namespace podtap
