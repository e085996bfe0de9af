// What is refused over TLS, and in which words; and what is not.
#include <chrono>
#include <functional>

#include "tests/unit/tls/tls_fixture.h"

namespace podtap {
namespace {

using std::chrono::seconds;

// One pair of peers that must not talk.
struct Refusal {
  std::string name;
  SecretDir::Files server;
  SecretDir::Files client;
  std::string host = "127.0.0.1";
  // What agent and client say.
  std::string says;
};

void PrintTo(const Refusal& refusal, std::ostream* out) { *out << refusal.name; }

std::vector<Refusal> Refusals() {
  static const TestAuthority ours;
  // Of the same name, as one that was made anew.
  static const TestAuthority theirs;
  static const TestCertificate good = ours.Issue({.common_name = "good"});
  static const TestCertificate expired = ours.Issue({.valid_for_s = -60});
  static const TestCertificate early = ours.Issue({.valid_from_s = 3'600});
  const std::string& ca = ours.certificate_pem();
  const auto mutual = SecretFiles(ca, good);
  return {
      {"WrongCaOfTheServer", SecretFiles("", theirs.Issue()), SecretFiles(ca), "127.0.0.1",
       "unknown CA"},
      {"SelfMadeServer", SecretFiles("", TestAuthority("other CA").Issue()), SecretFiles(ca),
       "127.0.0.1", "unknown CA"},
      {"ExpiredServer", SecretFiles("", expired), SecretFiles(ca), "127.0.0.1",
       "its certificate is refused: certificate has expired"},
      {"EarlyServer", SecretFiles("", early), SecretFiles(ca), "127.0.0.1",
       "its certificate is refused: certificate is not yet valid"},
      {"WrongName", SecretFiles("", ours.Issue({.names = {"DNS:collector.example"}})),
       SecretFiles(ca), "localhost", "its certificate is not for the name localhost"},
      {"WrongAddress", SecretFiles("", ours.Issue({.names = {"IP:127.0.0.2"}})), SecretFiles(ca),
       "127.0.0.1", "its certificate is not for the name 127.0.0.1"},
      {"NoClientCertificate", mutual, SecretFiles(ca), "127.0.0.1",
       "it requires a client certificate (--tls-cert, --tls-key)"},
      {"UnknownCaOfTheClient", mutual, SecretFiles(ca, TestAuthority("other CA").Issue()),
       "127.0.0.1", "it refuses our certificate: unknown CA"},
      {"WrongCaOfTheClient", mutual, SecretFiles(ca, theirs.Issue()), "127.0.0.1",
       "it refuses our certificate: is it signed by the collector's --tls-ca?"},
      {"ExpiredClient", mutual, SecretFiles(ca, expired), "127.0.0.1",
       "it refuses our certificate: certificate has expired"},
      {"EarlyClient", mutual, SecretFiles(ca, early), "127.0.0.1",
       "it refuses our certificate: certificate is not yet valid"},
      {"PlainTextToTls", mutual, {}, "127.0.0.1", "it speaks TLS (--tls-ca)"},
      {"TlsToPlainText", {}, mutual, "127.0.0.1", "it does not speak TLS"},
  };
}

class RefusalTest : public TlsFixture, public ::testing::WithParamInterface<Refusal> {};

TEST_P(RefusalTest, IsSaidOnceByTheAgentAndByTheClient) {
  const Refusal& refusal = GetParam();
  const SecretDir server(refusal.server);
  const SecretDir client(refusal.client);
  StartCollector(Open(server));
  const std::shared_ptr<TlsFiles> tls = Open(client);
  const uint64_t failed_before = FailedTlsHandshakes();

  const absl::Status observed = Observe(tls.get(), refusal.host);
  EXPECT_EQ(observed.code(), absl::StatusCode::kUnavailable) << observed;
  EXPECT_THAT(std::string(observed.message()), ::testing::HasSubstr(refusal.says));
  EXPECT_EQ(std::string(observed.message()).find('\n'), std::string::npos);

  log_.OnEvent(Event());
  StartClient(tls, refusal.host);
  EXPECT_TRUE(testing::WaitUntil([&] { return Count("streams_failed") >= 3; }));
  EXPECT_EQ(client_->Stop(std::chrono::milliseconds(0)), 1u) << "it went on trying";
  EXPECT_EQ(CountInLog("can't be reached"), 1u) << log_text_.str();
  EXPECT_EQ(CountInLog(refusal.says), 1u) << log_text_.str();
  EXPECT_GT(FailedTlsHandshakes(), failed_before) << "by either side: they share the process";
}

INSTANTIATE_TEST_SUITE_P(All, RefusalTest, ::testing::ValuesIn(Refusals()),
                         [](const auto& one) { return one.param.name; });

// Keys, names and combinations that work.
struct Acceptance {
  std::string name;
  std::string key_type = "P-256";
  std::vector<std::string> names = {"DNS:localhost", "IP:127.0.0.1", "IP:::1"};
  std::string host = "127.0.0.1";
  bool is_mutual = true;
};

void PrintTo(const Acceptance& one, std::ostream* out) { *out << one.name; }

class AcceptanceTest : public TlsFixture, public ::testing::WithParamInterface<Acceptance> {};

TEST_P(AcceptanceTest, EventsArriveAndAreAnswered) {
  const Acceptance& one = GetParam();
  const TestAuthority ours;
  const TestAuthority of_clients("clients' CA");
  const SecretDir server(SecretFiles(one.is_mutual ? of_clients.certificate_pem() : "",
                                     ours.Issue({.names = one.names, .key_type = one.key_type})));
  const SecretDir client(SecretFiles(
      ours.certificate_pem(),
      one.is_mutual ? of_clients.Issue({.common_name = "agent\n7", .key_type = one.key_type})
                    : TestCertificate()));
  StartCollector(Open(server));
  const std::shared_ptr<TlsFiles> tls = Open(client);
  log_.OnEvent(Event());
  StartClient(tls, one.host);
  EXPECT_EQ(client_->Stop(seconds(10)), 0u) << log_text_.str();
  EXPECT_TRUE(Observe(tls.get(), one.host).ok());
  EXPECT_EQ(observed_, 1);
  if (one.host == "127.0.0.1") {
    const v1::GetServerStatusResponse status = ServerStatus(tls.get());
    ASSERT_EQ(status.agents_size(), 1);
    EXPECT_EQ(status.agents(0).certificate_subject(), one.is_mutual ? "CN=agent\\0A7" : "");
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, AcceptanceTest,
    ::testing::Values(Acceptance{"Ecdsa"}, Acceptance{.name = "Rsa", .key_type = "RSA"},
                      Acceptance{.name = "P384", .key_type = "P-384"},
                      Acceptance{.name = "Ed25519", .key_type = "ED25519"},
                      Acceptance{.name = "Name", .names = {"DNS:localhost"}, .host = "localhost"},
                      Acceptance{.name = "ServerOnly", .is_mutual = false}),
    [](const auto& one) { return one.param.name; });

TEST_F(TlsFixture, FailedHandshakesAreOnTheLedger) {
  const TestAuthority ours;
  const SecretDir server(SecretFiles(ours.certificate_pem(), ours.Issue()));
  const SecretDir good(SecretFiles(ours.certificate_pem(), ours.Issue()));
  const SecretDir bad(SecretFiles(ours.certificate_pem()));
  StartCollector(Open(server));
  const auto failed = [&] {
    const v1::GetServerStatusResponse status = ServerStatus(Open(good).get());
    for (const v1::LedgerEntry& entry : status.ledger()) {
      if (entry.name() == "handshakes_failed") {
        return entry.count();
      }
    }
    ADD_FAILURE() << "no such line";
    return uint64_t{0};
  };
  const uint64_t before = failed();
  EXPECT_EQ(failed(), before) << "a good one counts nothing";
  EXPECT_FALSE(Observe(Open(bad).get()).ok());
  EXPECT_GT(failed(), before);
}

TEST_F(TlsFixture, NothingOlderThanTls12) {
  const TestAuthority ours;
  const SecretDir server(SecretFiles("", ours.Issue()));
  StartCollector(Open(server));
  const auto negotiated = [&](int version) -> std::string {
    const SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
    // Level 0: else OpenSSL would not even offer the old ones.
    SSL_CTX_set_cipher_list(context.get(), "ALL:@SECLEVEL=0");
    SSL_CTX_set_min_proto_version(context.get(), version);
    SSL_CTX_set_max_proto_version(context.get(), version);
    SSL_CTX_set_alpn_protos(context.get(), reinterpret_cast<const unsigned char*>("\x02h2"), 3);
    const BioPtr connection(BIO_new_ssl_connect(context.get()));
    BIO_set_conn_hostname(connection.get(), Address().ToString().c_str());
    SSL* ssl = nullptr;
    BIO_get_ssl(connection.get(), &ssl);
    return BIO_do_handshake(connection.get()) == 1 ? SSL_get_version(ssl) : "";
  };
  EXPECT_EQ(negotiated(TLS1_1_VERSION), "");
  EXPECT_EQ(negotiated(TLS1_2_VERSION), "TLSv1.2");
  EXPECT_EQ(negotiated(TLS1_3_VERSION), "TLSv1.3");
}

}  // namespace
}  // namespace podtap
