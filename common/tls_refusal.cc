#include "common/tls_refusal.h"

#include <fcntl.h>
#include <netdb.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/strings/str_format.h"
#include "common/ip_address.h"
#include "common/openssl_ptr.h"
#include "common/unique_fd.h"

namespace podtap {
namespace {

using TimePoint = std::chrono::steady_clock::time_point;

// gRPC servers insist on it.
constexpr unsigned char kAlpn[] = "\x02h2";

// False when the time is up.
bool WaitFor(int fd, short events, TimePoint deadline) {
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      deadline - std::chrono::steady_clock::now());
  pollfd waited = {.fd = fd, .events = events};
  return left.count() > 0 && ::poll(&waited, 1, static_cast<int>(left.count())) > 0;
}

// The first address of the name that takes the connection.
UniqueFd Connect(const HostPort& address, TimePoint deadline) {
  const addrinfo hints = {.ai_flags = AI_NUMERICSERV, .ai_socktype = SOCK_STREAM};
  addrinfo* found = nullptr;
  if (::getaddrinfo(address.host.c_str(), absl::StrFormat("%d", address.port).c_str(), &hints,
                    &found) != 0) {
    return UniqueFd();
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(found, &::freeaddrinfo);
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    UniqueFd fd(::socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd.valid()) {
      continue;
    }
    if (::connect(fd.get(), one->ai_addr, one->ai_addrlen) == 0) {
      return fd;
    }
    int error = 0;
    socklen_t size = sizeof(error);
    if (errno == EINPROGRESS && WaitFor(fd.get(), POLLOUT, deadline) &&
        ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0) {
      return fd;
    }
  }
  return UniqueFd();
}

void UseCertificate(const TlsMaterial& material, SSL_CTX* context) {
  const BioPtr chain = ReadFrom(material.certificate_pem);
  const X509Ptr own(PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr));
  SSL_CTX_use_certificate(context, own.get());
  while (X509* next = PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)) {
    // Takes it over.
    SSL_CTX_add_extra_chain_cert(context, next);
  }
  const BioPtr key_source = ReadFrom(material.key_pem);
  const EvpPkeyPtr key(PEM_read_bio_PrivateKey(key_source.get(), nullptr, nullptr, nullptr));
  SSL_CTX_use_PrivateKey(context, key.get());
}

SslCtxPtr MakeContext(const TlsMaterial* material) {
  SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_alpn_protos(context.get(), kAlpn, sizeof(kAlpn) - 1);
  if (material == nullptr) {
    return context;
  }
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  const BioPtr source = ReadFrom(material->ca_pem);
  while (X509* read = PEM_read_bio_X509(source.get(), nullptr, nullptr, nullptr)) {
    const X509Ptr authority(read);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), authority.get());
  }
  if (material->has_certificate()) {
    UseCertificate(*material, context.get());
  }
  return context;
}

// One TLS connection of a client.
class Handshake {
 public:
  Handshake(const HostPort& address, const TlsMaterial* material, UniqueFd socket,
            TimePoint deadline)
      : context_(MakeContext(material)),
        socket_(std::move(socket)),
        ssl_(SSL_new(context_.get())),
        deadline_(deadline) {
    SSL_set_fd(ssl_.get(), socket_.get());
    if (IpAddress::Parse(address.host)) {
      X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_.get()), address.host.c_str());
    } else {
      SSL_set1_host(ssl_.get(), address.host.c_str());
      SSL_set_tlsext_host_name(ssl_.get(), address.host.c_str());
    }
  }

  enum class End { kDone, kFailed, kClosed, kTimeout };

  End ShakeHands() {
    return Drive([this] { return SSL_connect(ssl_.get()); });
  }
  // Reads anything: with TLS 1.3 the server's opinion of our certificate comes after the handshake.
  End ReadSomething() {
    char byte = 0;
    return Drive([this, &byte] { return SSL_read(ssl_.get(), &byte, 1); });
  }

  // The server wants a certificate of a client; its --tls-ca is never empty.
  bool certificate_asked() const { return sk_X509_NAME_num(Authorities()) > 0; }
  // Whether one of its authorities has the name of the one that signed our chain.
  bool knows_authority_of(const TlsMaterial& material) const {
    const BioPtr chain = ReadFrom(material.certificate_pem);
    while (X509* read = PEM_read_bio_X509(chain.get(), nullptr, nullptr, nullptr)) {
      const X509Ptr certificate(read);
      for (int i = 0; i < sk_X509_NAME_num(Authorities()); ++i) {
        if (X509_NAME_cmp(sk_X509_NAME_value(Authorities(), i),
                          X509_get_issuer_name(certificate.get())) == 0) {
          return true;
        }
      }
    }
    return false;
  }

  long verify_result() const { return SSL_get_verify_result(ssl_.get()); }
  // Why kFailed, an SSL_R_ number; those of alerts begin at SSL_AD_REASON_OFFSET.
  int reason() const { return reason_; }

 private:
  // Those the server named when it asked for our certificate.
  const STACK_OF(X509_NAME) * Authorities() const { return SSL_get0_peer_CA_list(ssl_.get()); }

  template <typename Step>
  End Drive(Step step) {
    while (true) {
      ERR_clear_error();
      const int result = step();
      if (result > 0) {
        return End::kDone;
      }
      const int error = SSL_get_error(ssl_.get(), result);
      reason_ = ERR_GET_REASON(ERR_peek_last_error());
      ERR_clear_error();
      if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) {
        if (!WaitFor(socket_.get(), error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline_)) {
          return End::kTimeout;
        }
        continue;
      }
      const bool closed = error == SSL_ERROR_ZERO_RETURN || error == SSL_ERROR_SYSCALL ||
                          reason_ == SSL_R_UNEXPECTED_EOF_WHILE_READING;
      return closed ? End::kClosed : End::kFailed;
    }
  }

  const SslCtxPtr context_;
  const UniqueFd socket_;
  const SslPtr ssl_;
  const TimePoint deadline_;
  int reason_ = 0;
};

bool IsAlert(int reason) { return reason >= SSL_AD_REASON_OFFSET; }

std::string ExplainAlert(int reason) {
  const int alert = reason - SSL_AD_REASON_OFFSET;
  switch (alert) {
    case SSL_AD_CERTIFICATE_REQUIRED:
      return "it requires a client certificate (--tls-cert, --tls-key)";
    case SSL_AD_UNKNOWN_CA:
      return "it refuses our certificate: unknown CA";
    case SSL_AD_CERTIFICATE_EXPIRED:
      return "it refuses our certificate: certificate has expired";
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
      return absl::StrFormat("it refuses our certificate: %s", SSL_alert_desc_string_long(alert));
    default:
      return absl::StrFormat("it refuses the handshake: %s", SSL_alert_desc_string_long(alert));
  }
}

std::string ExplainVerification(const HostPort& address, long result) {
  const char* text = X509_verify_cert_error_string(result);
  switch (result) {
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    // Another CA of the same name.
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
      return absl::StrFormat("its certificate is of an unknown CA (%s; --tls-ca)", text);
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return absl::StrFormat("its certificate is not for the name %s", address.host);
    default:
      return absl::StrFormat("its certificate is refused: %s", text);
  }
}

// A server of gRPC closes the connection without a word when it does not like our certificate.
std::string ExplainClose(const TlsMaterial& material, bool knows_authority) {
  const auto now_s = static_cast<int64_t>(std::time(nullptr));
  if (!material.has_certificate()) {
    return "it requires a client certificate (--tls-cert, --tls-key)";
  }
  if (material.not_after_s < now_s) {
    return "it refuses our certificate: certificate has expired";
  }
  if (material.not_before_s > now_s) {
    return "it refuses our certificate: certificate is not yet valid";
  }
  return knows_authority ? "it refuses our certificate: is it signed by the collector's --tls-ca?"
                         : "it refuses our certificate: unknown CA";
}

}  // namespace

std::string ExplainRefusal(const HostPort& address, const TlsMaterial* material,
                           std::chrono::milliseconds timeout) {
  const TimePoint deadline = std::chrono::steady_clock::now() + timeout;
  UniqueFd socket = Connect(address, deadline);
  if (!socket.valid()) {
    return "";
  }
  Handshake handshake(address, material, std::move(socket), deadline);
  const Handshake::End end = handshake.ShakeHands();
  if (material == nullptr) {
    const bool speaks_tls = end == Handshake::End::kDone ||
                            (end == Handshake::End::kFailed && IsAlert(handshake.reason()));
    return speaks_tls ? "it speaks TLS (--tls-ca)" : "";
  }
  if (end == Handshake::End::kFailed) {
    if (handshake.verify_result() != X509_V_OK) {
      return ExplainVerification(address, handshake.verify_result());
    }
    return IsAlert(handshake.reason()) ? ExplainAlert(handshake.reason()) : "it does not speak TLS";
  }
  if (end != Handshake::End::kDone) {
    return "";
  }
  switch (handshake.ReadSomething()) {
    case Handshake::End::kFailed:
      return IsAlert(handshake.reason()) ? ExplainAlert(handshake.reason()) : "";
    case Handshake::End::kClosed:
      return handshake.certificate_asked()
                 ? ExplainClose(*material, handshake.knows_authority_of(*material))
                 : "";
    case Handshake::End::kDone:
    case Handshake::End::kTimeout:
      return "";
  }
  return "";
}

}  // namespace podtap
