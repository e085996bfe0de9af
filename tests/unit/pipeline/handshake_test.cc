// Connections that speak TLS, through the whole pipeline.
#include <string>

#include "agent/pipeline.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/segment_script.h"
#include "tests/unit/tls_hellos/captured_hellos.h"
#include "tests/unit/tls_hellos/hello_builder.h"

namespace podtap {
namespace {

using testing::ConnectionOptions;
using testing::FromHex;
using testing::PipelineHarness;
using testing::SegmentOptions;
using testing::TestConnection;

constexpr int64_t kSecondNs = 1'000'000'000;

class PipelineHandshakeTest : public ::testing::Test {
 protected:
  ~PipelineHandshakeTest() override { EXPECT_EQ(harness_.CheckLedger(), ""); }

  const std::string client_ = FromHex(testing::kClientHello13);
  const std::string server_ = FromHex(testing::kServerHello13);
  PipelineHarness harness_;
};

TEST_F(PipelineHandshakeTest, IsToldAndTheConnectionBecomesOpaque) {
  for (const bool pod_is_client : {true, false}) {
    ConnectionOptions options;
    options.pod_is_client = pod_is_client;
    options.tap.slot = pod_is_client;
    TestConnection connection(harness_, options);
    connection.Client(client_);
    connection.Server(server_);
    // In flight when the kernel side hears of it.
    connection.Client(std::string("\x17\x03\x03\x00\x01x", 6));
    connection.Server("HTTP/1.1 200 OK\r\n\r\n");
  }
  ASSERT_EQ(harness_.handshakes.of_clients.size(), 1u);
  ASSERT_EQ(harness_.handshakes.of_servers.size(), 1u);
  const auto& [tap, handshake] = harness_.handshakes.of_clients[0];
  EXPECT_EQ(tap.slot, 1u);
  EXPECT_EQ(handshake.server_name, "web.example");
  EXPECT_EQ(handshake.version, tls::Version::kTls13);
  EXPECT_EQ(harness_.feedback.Count(capture::Verdict::kOpaque), 2u);
  EXPECT_EQ(harness_.feedback.posts.size(), 2u);
  EXPECT_EQ(harness_.Count("opaque"), 4u);
  EXPECT_EQ(harness_.Count("tls_1_3"), 2u);
  EXPECT_TRUE(harness_.exchanges().empty());
}

TEST_F(PipelineHandshakeTest, SegmentsInAnyOrderAndSizeTellTheSame) {
  for (const size_t cut : {size_t{1}, size_t{5}, size_t{200}}) {
    ConnectionOptions options;
    options.client_port = static_cast<uint16_t>(1000 + cut);
    TestConnection connection(harness_, options);
    connection.Client(client_.substr(0, cut));
    connection.ClientAt(cut + 1, client_.substr(cut + 1));
    connection.ClientAt(cut, client_.substr(cut, 1));
    connection.ServerAt(cut, server_.substr(cut));
    connection.ServerAt(0, server_.substr(0, cut));
  }
  ASSERT_EQ(harness_.handshakes.of_servers.size(), 3u);
  for (const auto& [tap, handshake] : harness_.handshakes.of_servers) {
    EXPECT_EQ(handshake.server_name, "web.example");
    EXPECT_EQ(handshake.version, tls::Version::kTls13);
  }
}

TEST_F(PipelineHandshakeTest, WhatIsLostIsNotWaitedForForEver) {
  TestConnection connection(harness_);
  connection.Client(client_.substr(0, 100));
  connection.LoseClient(200);
  connection.Client(client_.substr(300));
  connection.Server(server_);
  EXPECT_EQ(harness_.feedback.Count(capture::Verdict::kOpaque), 0u);
  harness_.Sleep(2 * kSecondNs);
  EXPECT_EQ(harness_.feedback.Count(capture::Verdict::kOpaque), 1u);
  ASSERT_EQ(harness_.handshakes.of_servers.size(), 1u);
  EXPECT_EQ(harness_.handshakes.of_servers[0].second.server_name, "");
  EXPECT_EQ(harness_.handshakes.of_servers[0].second.version, tls::Version::kTls13);
  EXPECT_EQ(harness_.Count("tls_hellos_incomplete"), 1u);
}

TEST_F(PipelineHandshakeTest, MiddleThatWasNotCopiedEndsAHello) {
  TestConnection connection(harness_);
  connection.ClientLarge(client_.substr(0, 100), 353, client_.substr(453));
  connection.ServerLarge(server_.substr(0, 150), 5000, "tail");
  ASSERT_EQ(harness_.handshakes.of_servers.size(), 1u);
  EXPECT_EQ(harness_.handshakes.of_servers[0].second.version, tls::Version::kTls13);
  EXPECT_EQ(harness_.Count("tls_hellos_incomplete"), 1u);
}

TEST_F(PipelineHandshakeTest, EndBeforeTheServersHelloTellsWhatTheClientWanted) {
  for (const bool reset : {true, false}) {
    PipelineHarness harness;
    TestConnection connection(harness);
    connection.Client(client_);
    if (reset) {
      connection.ServerRst();
    } else {
      connection.ServerFin();
      connection.ClientFin();
    }
    ASSERT_EQ(harness.handshakes.of_servers.size(), 1u) << reset;
    EXPECT_EQ(harness.handshakes.of_servers[0].second.server_name, "web.example");
    EXPECT_EQ(harness.handshakes.of_servers[0].second.version, tls::Version::kUnknown);
    EXPECT_EQ(harness.Count("tls_version_unknown"), 1u);
    EXPECT_EQ(harness.CheckLedger(), "");
  }
}

TEST_F(PipelineHandshakeTest, AgentThatStopsTellsWhatItHas) {
  TestConnection connection(harness_);
  connection.Client(client_);
  harness_.Finish();
  EXPECT_EQ(harness_.handshakes.of_servers.size(), 1u);
  EXPECT_EQ(harness_.Count("tls_version_unknown"), 1u);
}

TEST_F(PipelineHandshakeTest, WithoutASynOnlyAWholeBeginningCounts) {
  ConnectionOptions options;
  options.midstream = true;
  TestConnection connection(harness_, options);
  connection.Client(client_);
  connection.Server(server_);
  ASSERT_EQ(harness_.handshakes.of_servers.size(), 1u);
  EXPECT_EQ(harness_.handshakes.of_servers[0].second.server_name, "web.example");
  // A body whose first byte seen is that of a TLS record.
  options.client_port = 2;
  TestConnection other(harness_, options);
  other.Client("GET / HTTP/1.1\r\n\r\n");
  other.Server("\x16\x03\x01 of a body under way");
  EXPECT_EQ(harness_.Count("tls_handshakes"), 1u);
}

TEST_F(PipelineHandshakeTest, ConnectionsOfNoInterestMakeRoom) {
  PipelineLimits limits;
  limits.max_connections = 2;
  PipelineHarness harness(limits);
  for (uint16_t port = 1; port <= 10; ++port) {
    ConnectionOptions options;
    options.client_port = port;
    TestConnection connection(harness, options);
    connection.Client(client_);
    connection.Server(server_);
  }
  EXPECT_EQ(harness.Count("table_full"), 0u);
  EXPECT_EQ(harness.Count("tls_1_3"), 10u);
  EXPECT_EQ(harness.pipeline.connections(), 0u);
  harness.Sleep(11 * kSecondNs);
  EXPECT_EQ(harness.feedback.forgotten.size(), 10u);
  EXPECT_EQ(harness.Count("connections_timed_out"), 0u);
}

TEST_F(PipelineHandshakeTest, ServerThatAnswersHttpWithTlsIsMalformedHttp) {
  TestConnection connection(harness_);
  connection.Client("GET / HTTP/1.1\r\n\r\n");
  connection.Server(server_);
  EXPECT_EQ(harness_.Count("tls_handshakes"), 0u);
  ASSERT_EQ(harness_.exchanges().size(), 1u);
  EXPECT_EQ(harness_.exchanges()[0].outcome, pairing::Outcome::kMalformed);
}

}  // namespace
}  // namespace podtap
