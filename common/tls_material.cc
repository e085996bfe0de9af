#include "common/tls_material.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <string_view>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "common/openssl_ptr.h"
#include "common/status.h"
#include "common/text.h"
#include "common/unique_fd.h"

namespace podtap {
namespace {

// A bundle of all public authorities has about a fifth of this.
constexpr off_t kMaxFileBytes = 1 << 20;
constexpr int64_t kWarnAheadSeconds = int64_t{30} * 86'400;

constexpr char kCa[] = "--tls-ca";
constexpr char kCertificate[] = "--tls-cert";
constexpr char kKey[] = "--tls-key";

std::string Shown(const std::string& path) { return SafeText(path, 300); }

absl::Status Unusable(const char* flag, const std::string& path, std::string_view why) {
  return absl::InvalidArgumentError(absl::StrFormat("%s: %s %s", flag, Shown(path), why));
}

absl::StatusOr<std::string> ReadFile(const char* flag, const std::string& path) {
  if (path.empty()) {
    return std::string();
  }
  const auto failed = [&] {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: %s: %s", flag, Shown(path), std::strerror(errno)));
  };
  // Opening a pipe must not wait for its other end.
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat info = {};
  if (!file.valid() || ::fstat(file.get(), &info) != 0) {
    return failed();
  }
  if (!S_ISREG(info.st_mode)) {
    return Unusable(flag, path, "is not a file");
  }
  if (info.st_size > kMaxFileBytes) {
    return Unusable(flag, path, "is larger than 1 MiB");
  }
  if (info.st_size == 0) {
    return Unusable(flag, path, "is empty");
  }
  std::string bytes(static_cast<size_t>(info.st_size), '\0');
  size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t part = ::read(file.get(), bytes.data() + size, bytes.size() - size);
    if (part < 0) {
      return failed();
    }
    if (part == 0) {
      break;
    }
    size += static_cast<size_t>(part);
  }
  bytes.resize(size);
  return bytes;
}

int64_t UnixSeconds(const ASN1_TIME* time) {
  std::tm parts = {};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? static_cast<int64_t>(::timegm(&parts)) : 0;
}

// Every certificate of the file, the first one first.
absl::StatusOr<std::vector<X509Ptr>> ParseCertificates(const char* flag, const std::string& path,
                                                       const std::string& pem) {
  std::vector<X509Ptr> certificates;
  const BioPtr source = ReadFrom(pem);
  ERR_clear_error();
  while (X509* certificate = PEM_read_bio_X509(source.get(), nullptr, nullptr, nullptr)) {
    certificates.emplace_back(certificate);
  }
  // The end of the file is told as an error too.
  const unsigned long error = ERR_peek_last_error();
  const bool at_end =
      ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (at_end && certificates.empty()) {
    return Unusable(flag, path, "holds no certificate in PEM form");
  }
  if (!at_end) {
    return Unusable(flag, path, "holds a certificate that is cut short or damaged");
  }
  return certificates;
}

absl::StatusOr<EvpPkeyPtr> ParseKey(const std::string& path, const std::string& pem) {
  // Without a callback OpenSSL would ask for the password on the terminal.
  bool is_encrypted = false;
  const auto no_password = [](char*, int, int, void* asked) {
    *static_cast<bool*>(asked) = true;
    return -1;
  };
  const BioPtr source = ReadFrom(pem);
  EvpPkeyPtr key(PEM_read_bio_PrivateKey(source.get(), nullptr, no_password, &is_encrypted));
  ERR_clear_error();
  if (is_encrypted) {
    return Unusable(kKey, path, "is encrypted; give a key without a password");
  }
  if (key == nullptr) {
    return Unusable(kKey, path, "holds no private key in PEM form");
  }
  return key;
}

std::string SerialOf(const X509& certificate) {
  std::string hex;
  BIGNUM* number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(&certificate), nullptr);
  if (char* text = number != nullptr ? BN_bn2hex(number) : nullptr) {
    hex = text;
    OPENSSL_free(text);
  }
  BN_free(number);
  return hex;
}

std::string Day(int64_t unix_seconds) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromUnixSeconds(unix_seconds),
                          absl::UTCTimeZone());
}

}  // namespace

absl::StatusOr<TlsBytes> ReadTlsFiles(const TlsPaths& paths) {
  TlsBytes bytes;
  PODTAP_ASSIGN_OR_RETURN(bytes.ca_pem, ReadFile(kCa, paths.ca));
  PODTAP_ASSIGN_OR_RETURN(bytes.certificate_pem, ReadFile(kCertificate, paths.certificate));
  PODTAP_ASSIGN_OR_RETURN(bytes.key_pem, ReadFile(kKey, paths.key));
  return bytes;
}

absl::StatusOr<TlsMaterial> CheckTlsBytes(const TlsPaths& paths, TlsBytes bytes) {
  TlsMaterial material;
  if (!paths.ca.empty()) {
    PODTAP_ASSIGN_OR_RETURN(const std::vector<X509Ptr> authorities,
                            ParseCertificates(kCa, paths.ca, bytes.ca_pem));
    for (const X509Ptr& authority : authorities) {
      material.ca_not_after_s =
          std::max(material.ca_not_after_s, UnixSeconds(X509_get0_notAfter(authority.get())));
    }
  }
  if (!paths.certificate.empty()) {
    PODTAP_ASSIGN_OR_RETURN(
        const std::vector<X509Ptr> chain,
        ParseCertificates(kCertificate, paths.certificate, bytes.certificate_pem));
    PODTAP_ASSIGN_OR_RETURN(const EvpPkeyPtr key, ParseKey(paths.key, bytes.key_pem));
    const X509& own = *chain.front();
    if (X509_check_private_key(&own, key.get()) != 1) {
      ERR_clear_error();
      return Unusable(
          kKey, paths.key,
          absl::StrFormat("is not the key of the certificate in %s", Shown(paths.certificate)));
    }
    material.serial = SerialOf(own);
    material.not_before_s = UnixSeconds(X509_get0_notBefore(&own));
    material.not_after_s = UnixSeconds(X509_get0_notAfter(&own));
  }
  material.ca_pem = std::move(bytes.ca_pem);
  material.certificate_pem = std::move(bytes.certificate_pem);
  material.key_pem = std::move(bytes.key_pem);
  return material;
}

std::string ExpiryWarning(const TlsPaths& paths, const TlsMaterial& material, int64_t now_unix_ns) {
  const int64_t now_s = now_unix_ns / 1'000'000'000;
  const auto warn = [&](const char* flag, const std::string& path,
                        int64_t not_after_s) -> std::string {
    if (not_after_s - now_s > kWarnAheadSeconds) {
      return "";
    }
    return absl::StrFormat("%s: %s %s %s", flag, Shown(path),
                           not_after_s < now_s ? "has expired on" : "expires on", Day(not_after_s));
  };
  if (material.has_certificate()) {
    if (material.not_before_s > now_s) {
      return absl::StrFormat("%s: %s is not valid before %s", kCertificate,
                             Shown(paths.certificate), Day(material.not_before_s));
    }
    if (std::string text = warn(kCertificate, paths.certificate, material.not_after_s);
        !text.empty()) {
      return text;
    }
  }
  return material.has_ca() ? warn(kCa, paths.ca, material.ca_not_after_s) : "";
}

}  // namespace podtap
