// Certificates and authorities replaced while events stream.
#include <openssl/pem.h>

#include <atomic>
#include <thread>

#include "podtap/v1/ingest_service.grpc.pb.h"
#include "tests/unit/tls/tls_fixture.h"

namespace podtap {
namespace {

class RotationTest : public TlsFixture {
 protected:
  // Serial number of the certificate that the collector shows at a handshake, upper-case hex.
  std::string ServedSerial() const {
    const SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_alpn_protos(context.get(), reinterpret_cast<const unsigned char*>("\x02h2"), 3);
    const BioPtr connection(BIO_new_ssl_connect(context.get()));
    BIO_set_conn_hostname(connection.get(), Address().ToString().c_str());
    if (BIO_do_handshake(connection.get()) != 1) {
      return "no handshake";
    }
    SSL* ssl = nullptr;
    BIO_get_ssl(connection.get(), &ssl);
    const X509Ptr certificate(SSL_get1_peer_certificate(ssl));
    BIGNUM* number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate.get()), nullptr);
    char* hex = BN_bn2hex(number);
    std::string serial = hex;
    OPENSSL_free(hex);
    BN_free(number);
    return serial;
  }

  // Takes the agent's place for a moment, so that it has to connect anew.
  void MakeTheAgentReconnect(TlsFiles* tls) {
    const uint64_t before = Count("streams_accepted");
    const auto stub = v1::IngestService::NewStub(
        grpc::CreateChannel(Address().ToString(), ChannelCredentialsOf(tls)));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(10));
    const auto stream = stub->StreamEvents(&context);
    v1::StreamEventsRequest request;
    request.mutable_hello()->set_node_name(exporter::kOrigin.node_name);
    request.mutable_hello()->set_cluster_name(exporter::kOrigin.cluster_name);
    request.mutable_hello()->set_epoch(exporter::kOrigin.epoch);
    request.mutable_hello()->set_protocol_version(1);
    EXPECT_TRUE(stream->Write(request));
    v1::StreamEventsResponse response;
    EXPECT_TRUE(stream->Read(&response));
    EXPECT_TRUE(testing::WaitUntil([&] { return Count("streams_accepted") > before; }));
    context.TryCancel();
  }
};

TEST_F(RotationTest, NoEventIsLostOrDoubledOverThreeAuthorities) {
  auto authority = std::make_unique<TestAuthority>("CA 0");
  SecretDir server_dir(SecretFiles(authority->certificate_pem(), authority->Issue()));
  SecretDir client_dir(SecretFiles(authority->certificate_pem(), authority->Issue()));
  const std::shared_ptr<TlsFiles> server = Open(server_dir);
  const std::shared_ptr<TlsFiles> client = Open(client_dir);
  StartCollector(server);
  StartClient(client);
  ASSERT_TRUE(testing::WaitUntil([&] { return Count("streams_accepted") == 1; }));
  std::atomic<bool> stop = false;
  int appended = 0;
  std::thread load([&] {
    while (!stop) {
      log_.OnEvent(Event());
      ++appended;
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  });

  // What the two sides hold is never of one mind in between, as it is in a cluster.
  const auto replace = [&](const std::string& ca, const TestCertificate& of_server,
                           const TestCertificate& of_client) {
    server_dir.Replace(SecretFiles(ca, of_server));
    server->Refresh();
    EXPECT_EQ(ServedSerial(), of_server.serial);
    MakeTheAgentReconnect(client.get());
    client_dir.Replace(SecretFiles(ca, of_client));
    MakeTheAgentReconnect(client.get());
    EXPECT_EQ(client->current()->serial, of_client.serial);
  };
  TestCertificate of_server = authority->Issue();
  TestCertificate of_client = authority->Issue();
  for (const char* name : {"CA 1", "CA 2", "CA 3"}) {
    auto next = std::make_unique<TestAuthority>(name);
    const std::string both = authority->certificate_pem() + next->certificate_pem();
    replace(both, of_server, of_client);
    const TestCertificate old_of_client = of_client;
    of_server = next->Issue();
    of_client = next->Issue();
    replace(both, of_server, of_client);
    replace(next->certificate_pem(), of_server, of_client);
    // The authority before has nothing to say any more.
    const SecretDir late(SecretFiles(next->certificate_pem(), old_of_client));
    const std::shared_ptr<TlsFiles> late_files = Open(late);
    EXPECT_THAT(std::string(Observe(late_files.get()).message()),
                ::testing::HasSubstr("it refuses our certificate: unknown CA"));
    authority = std::move(next);
  }

  stop = true;
  load.join();
  EXPECT_EQ(client_->Stop(std::chrono::seconds(20)), 0u);
  EXPECT_EQ(log_.counters().acked, static_cast<uint64_t>(appended));
  EXPECT_EQ(Count("streams_accepted"), 1u + 2 * 9);
  EXPECT_EQ(ServerStatus(client.get()).stored_events(), static_cast<uint64_t>(appended));
}

TEST_F(RotationTest, AnEstablishedStreamGoesOn) {
  const TestAuthority authority;
  SecretDir server_dir(SecretFiles(authority.certificate_pem(), authority.Issue()));
  const SecretDir client_dir(SecretFiles(authority.certificate_pem(), authority.Issue()));
  const std::shared_ptr<TlsFiles> server = Open(server_dir);
  const std::shared_ptr<TlsFiles> client = Open(client_dir);
  StartCollector(server);
  StartClient(client);
  log_.OnEvent(Event());
  ASSERT_TRUE(testing::WaitUntil([&] { return log_.counters().acked == 1; }));
  const TestAuthority other("other CA");
  server_dir.Replace(SecretFiles(other.certificate_pem(), other.Issue()));
  server->Refresh();
  log_.OnEvent(Event());
  EXPECT_TRUE(testing::WaitUntil([&] { return log_.counters().acked == 2; }));
  EXPECT_EQ(Count("streams_accepted"), 1u);
  EXPECT_EQ(Count("streams_failed"), 0u);
  EXPECT_FALSE(Observe(client.get()).ok()) << "a new connection meets the new certificates";
}

TEST_F(RotationTest, ABrokenReplacementLeavesTheCollectorReachable) {
  const TestAuthority authority;
  const TestCertificate first = authority.Issue();
  const SecretDir server_dir(SecretFiles(authority.certificate_pem(), first));
  const SecretDir client_dir(SecretFiles(authority.certificate_pem(), authority.Issue()));
  const std::shared_ptr<TlsFiles> server = Open(server_dir);
  const std::shared_ptr<TlsFiles> client = Open(client_dir);
  StartCollector(server);
  // A certificate without its key, then half a file, then nothing.
  const std::string other = authority.Issue().certificate_pem;
  for (const std::string& content : {other, other.substr(0, 100), std::string()}) {
    SecretDir::Write(server_dir.path("cert"), content);
    server->Refresh();
    EXPECT_EQ(ServedSerial(), first.serial);
    EXPECT_TRUE(Observe(client.get()).ok());
  }
}

}  // namespace
}  // namespace podtap
