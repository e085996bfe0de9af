#include "common/tls_credentials.h"

#include <grpc/grpc_security.h>

#include <mutex>
#include <string_view>
#include <utility>
#include <vector>

#include "common/text.h"

namespace podtap {
namespace {

constexpr size_t kMaxSubjectBytes = 256;

// gRPC's C++ API takes a server's certificates once; its C API asks for them at every handshake.
class ReloadingServerCredentials final : public grpc::ServerCredentials {
 public:
  explicit ReloadingServerCredentials(std::shared_ptr<TlsFiles> files) : files_(std::move(files)) {
    const auto request = files_->current()->has_ca()
                             ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                             : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE;
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(request, &Fetch, this));
  }
  ~ReloadingServerCredentials() override { grpc_server_credentials_release(credentials_); }

  void SetAuthMetadataProcessor(const std::shared_ptr<grpc::AuthMetadataProcessor>&) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  // Called at the start, and before each handshake on the threads of gRPC.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    return static_cast<ReloadingServerCredentials*>(self)->Fetch(config);
  }
  grpc_ssl_certificate_config_reload_status Fetch(grpc_ssl_server_certificate_config** config) {
    std::shared_ptr<const TlsMaterial> material = files_->current();
    const std::lock_guard lock(mutex_);
    if (material == given_) {
      return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    }
    const grpc_ssl_pem_key_cert_pair pair = {material->key_pem.c_str(),
                                             material->certificate_pem.c_str()};
    // It insists on roots, also where clients are asked for nothing and no root is ever used.
    const std::string& roots = material->has_ca() ? material->ca_pem : material->certificate_pem;
    *config = grpc_ssl_server_certificate_config_create(roots.c_str(), &pair, 1);
    given_ = std::move(material);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const std::shared_ptr<TlsFiles> files_;
  grpc_server_credentials* credentials_ = nullptr;
  std::mutex mutex_;
  // What gRPC has.
  std::shared_ptr<const TlsMaterial> given_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> ServerCredentialsOf(std::shared_ptr<TlsFiles> files) {
  if (files == nullptr) {
    return grpc::InsecureServerCredentials();
  }
  return std::make_shared<ReloadingServerCredentials>(std::move(files));
}

std::shared_ptr<grpc::ChannelCredentials> ChannelCredentialsOf(TlsFiles* files) {
  if (files == nullptr) {
    return grpc::InsecureChannelCredentials();
  }
  files->Refresh();
  const std::shared_ptr<const TlsMaterial> material = files->current();
  return grpc::SslCredentials({.pem_root_certs = material->ca_pem,
                               .pem_private_key = material->key_pem,
                               .pem_cert_chain = material->certificate_pem});
}

const char* ProtectionOf(const TlsFiles* files) {
  if (files == nullptr) {
    return "plain text";
  }
  return files->current()->has_ca() ? "TLS, clients need a certificate"
                                    : "TLS, clients need no certificate";
}

std::string CertificateSubject(const grpc::ServerContextBase& context) {
  const std::shared_ptr<const grpc::AuthContext> peer = context.auth_context();
  if (peer == nullptr) {
    return "";
  }
  const std::vector<grpc::string_ref> values =
      peer->FindPropertyValues(GRPC_X509_SUBJECT_PROPERTY_NAME);
  return values.empty()
             ? ""
             : SafeText(std::string_view(values[0].data(), values[0].size()), kMaxSubjectBytes);
}

}  // namespace podtap
