#include "common/tls_flags.h"

#include "absl/strings/str_format.h"
#include "common/status.h"

namespace podtap {
namespace {

absl::Status CheckCombination(TlsRole role, const TlsPaths& paths, bool insecure) {
  const auto needs = [](const char* flag, const char* other) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: needs %s", flag, other));
  };
  if (!paths.certificate.empty() && paths.key.empty()) {
    return needs("--tls-cert", "--tls-key");
  }
  if (!paths.key.empty() && paths.certificate.empty()) {
    return needs("--tls-key", "--tls-cert");
  }
  if (role == TlsRole::kServer && !paths.ca.empty() && paths.certificate.empty()) {
    return needs("--tls-ca", "--tls-cert and --tls-key");
  }
  if (role == TlsRole::kClient && !paths.certificate.empty() && paths.ca.empty()) {
    return needs("--tls-cert", "--tls-ca");
  }
  if (insecure) {
    return absl::InvalidArgumentError("--insecure: has no meaning with TLS");
  }
  return absl::OkStatus();
}

}  // namespace

void AddTlsFlags(CLI::App& app, TlsRole role, TlsFlags& flags) {
  const bool is_server = role == TlsRole::kServer;
  app.add_option("--tls-ca", flags.paths.ca,
                 is_server ? "Authorities that sign the certificates of agents and clients, which "
                             "then need one"
                           : "Turn TLS on: authorities that sign the collector's certificate")
      ->type_name("PEM-FILE");
  app.add_option("--tls-cert", flags.paths.certificate,
                 is_server ? "Turn TLS on: the collector's certificate"
                           : "Certificate for a collector that wants one")
      ->type_name("PEM-FILE");
  app.add_option("--tls-key", flags.paths.key, "Key of --tls-cert")->type_name("PEM-FILE");
  app.add_flag("--insecure", flags.insecure,
               is_server ? "Allow plain text on an address that is not loopback"
                         : "Allow plain text to a collector that is not on loopback");
}

absl::StatusOr<std::shared_ptr<TlsFiles>> OpenTlsFiles(TlsRole role, const TlsFlags& flags,
                                                       const std::string& address_flag,
                                                       const HostPort& address) {
  const TlsPaths& paths = flags.paths;
  if (paths.ca.empty() && paths.certificate.empty() && paths.key.empty()) {
    PODTAP_RETURN_IF_ERROR(CheckPlainText(address_flag, address, flags.insecure));
    return nullptr;
  }
  PODTAP_RETURN_IF_ERROR(CheckCombination(role, paths, flags.insecure));
  return TlsFiles::Open(paths);
}

}  // namespace podtap
