// Certificates made by the test that needs them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/openssl_ptr.h"

namespace podtap {

struct CertificateOptions {
  std::string common_name = "test";
  // Subject alternative names, as OpenSSL writes them: "DNS:localhost", "IP:127.0.0.1".
  std::vector<std::string> names = {"DNS:localhost", "IP:127.0.0.1", "IP:::1"};
  // Seconds from now.
  int64_t valid_from_s = -3'600;
  int64_t valid_for_s = int64_t{365} * 86'400;
  // EC curve, or "RSA", "ED25519".
  std::string key_type = "P-256";
};

struct TestCertificate {
  std::string certificate_pem;
  std::string key_pem;
  // Upper-case hex.
  std::string serial;
};

// An authority with a key of its own. Serial numbers are unique in the process.
class TestAuthority {
 public:
  explicit TestAuthority(const std::string& name = "test CA", int64_t valid_for_s = 86'400 * 365);

  TestCertificate Issue(const CertificateOptions& options = {}) const;
  const std::string& certificate_pem() const { return pem_; }

 private:
  EvpPkeyPtr key_;
  X509Ptr certificate_;
  std::string pem_;
};

// The key of a certificate, encrypted with a password.
std::string EncryptKey(const std::string& key_pem);

}  // namespace podtap
