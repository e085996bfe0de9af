// A collector and its clients with certificates of their own.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <memory>
#include <optional>
#include <sstream>
#include <string>

#include "agent/exporter/collector_client.h"
#include "agent/exporter/event_log.h"
#include "cli/observe.h"
#include "collector/collector.h"
#include "common/clock.h"
#include "common/grpc_log.h"
#include "common/log.h"
#include "common/tls_credentials.h"
#include "common/tls_refusal.h"
#include "spdlog/sinks/ostream_sink.h"
#include "tests/support/count_in.h"
#include "tests/support/secret_dir.h"
#include "tests/support/test_certificates.h"
#include "tests/support/wait.h"
#include "tests/unit/exporter/event_builder.h"

namespace podtap {

// Files named ca, cert and key; certificates and keys only where there is one.
inline SecretDir::Files SecretFiles(const std::string& ca_pem,
                                    const TestCertificate& certificate = {}) {
  SecretDir::Files files;
  if (!ca_pem.empty()) {
    files["ca"] = ca_pem;
  }
  if (!certificate.certificate_pem.empty()) {
    files["cert"] = certificate.certificate_pem;
    files["key"] = certificate.key_pem;
  }
  return files;
}

class TlsFixture : public ::testing::Test {
 protected:
  TlsFixture() {
    auto sink = std::make_shared<spdlog::sinks::ostream_sink_mt>(log_text_);
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("", std::move(sink)));
    std::signal(SIGPIPE, SIG_IGN);
    RouteGrpcLog(HandshakeReport::kNone);
  }
  ~TlsFixture() override { spdlog::set_default_logger(std::make_shared<spdlog::logger>("")); }

  // Opens what the directory has; null for an empty one.
  static std::shared_ptr<TlsFiles> Open(const SecretDir& directory) {
    const auto path = [&](const char* name) {
      return std::filesystem::exists(directory.path(name)) ? directory.path(name) : "";
    };
    const TlsPaths paths = {.ca = path("ca"), .certificate = path("cert"), .key = path("key")};
    if (paths.ca.empty() && paths.certificate.empty()) {
      return nullptr;
    }
    auto files = TlsFiles::Open(paths);
    EXPECT_TRUE(files.ok()) << files.status();
    return files.ok() ? *files : nullptr;
  }

  void StartCollector(std::shared_ptr<TlsFiles> tls) {
    CollectorOptions options;
    options.listen.port = port_;
    options.store.directory = directory_.path();
    options.tls = std::move(tls);
    collector_.reset();
    auto collector = Collector::Start(options, &clock_);
    ASSERT_TRUE(collector.ok()) << collector.status();
    collector_ = *std::move(collector);
    port_ = collector_->address().port;
  }

  // Of now: the store keeps a day.
  enrichment::Event Event() const {
    enrichment::Event event = exporter::MakeEvent();
    event.start_unix_ns = clock_.WallNs();
    return event;
  }

  HostPort Address(const std::string& host = "127.0.0.1") const {
    return {.host = host, .port = port_, .is_loopback = true};
  }

  void StartClient(std::shared_ptr<TlsFiles> tls, const std::string& host = "127.0.0.1") {
    exporter::CollectorClientOptions options;
    options.collector = Address(host);
    options.tls = std::move(tls);
    options.origin = exporter::kOrigin;
    options.backoff = {.first_ns = 10'000'000, .max_ns = 20'000'000};
    client_ =
        std::make_unique<exporter::CollectorClient>(options, log_, clock_, [](v1::AgentStatus&) {});
    client_->Start();
  }

  uint64_t Count(std::string_view name) const {
    uint64_t count = 0;
    client_->Visit(
        [&](const CounterValue& value) { count += value.name == name ? value.count : 0; });
    return count;
  }

  // `podtap observe` over TLS.
  absl::Status Observe(TlsFiles* tls, const std::string& host = "127.0.0.1") {
    cli::ObserveOptions options;
    options.server = Address(host);
    options.last = 1'000;
    const cli::ObserveServer server{
        .connect =
            [&] {
              grpc::ChannelArguments arguments;
              arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
              return v1::QueryService::NewStub(grpc::CreateCustomChannel(
                  options.server.ToString(), ChannelCredentialsOf(tls), arguments));
            },
        .explain =
            [&] {
              const auto material = tls != nullptr ? tls->current() : nullptr;
              return ExplainRefusal(options.server, material.get(), std::chrono::seconds(5));
            }};
    return cli::Observe(options, server,
                        {.event_line =
                             [this](const std::optional<std::string>& line, const std::string&) {
                               observed_ += line ? 1 : 0;
                               return true;
                             },
                         .note = [](const std::string&) {}});
  }

  v1::GetServerStatusResponse ServerStatus(TlsFiles* tls) {
    const auto stub = v1::QueryService::NewStub(
        grpc::CreateChannel(Address().ToString(), ChannelCredentialsOf(tls)));
    grpc::ClientContext context;
    v1::GetServerStatusResponse response;
    const grpc::Status status = stub->GetServerStatus(&context, {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  size_t CountInLog(const std::string& text) const {
    return testing::CountIn(log_text_.str(), text);
  }

  std::ostringstream log_text_;
  SystemClock clock_;
  TempDir directory_;
  uint16_t port_ = 0;
  std::unique_ptr<Collector> collector_;
  exporter::EventLog log_{
      {.origin = exporter::kOrigin, .batch = {.max_events = 10, .max_age_ns = 10'000'000}}, clock_};
  std::unique_ptr<exporter::CollectorClient> client_;
  int observed_ = 0;
};

}  // namespace podtap
