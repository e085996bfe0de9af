#include "tests/support/test_certificates.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <atomic>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "common/status.h"

namespace podtap {
namespace {

EvpPkeyPtr MakeKey(const std::string& type) {
  EVP_PKEY* key = type == "RSA"       ? EVP_RSA_gen(2048)
                  : type == "ED25519" ? EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")
                                      : EVP_EC_gen(type.c_str());
  PODTAP_CHECK(key != nullptr);
  return EvpPkeyPtr(key);
}

std::string Text(BIO* bio) {
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(bio, &bytes);
  return std::string(bytes, static_cast<size_t>(size));
}

std::string PemOf(X509* certificate) {
  const BioPtr out(BIO_new(BIO_s_mem()));
  PODTAP_CHECK(PEM_write_bio_X509(out.get(), certificate) == 1);
  return Text(out.get());
}

std::string PemOf(EVP_PKEY* key) {
  const BioPtr out(BIO_new(BIO_s_mem()));
  PODTAP_CHECK(
      PEM_write_bio_PKCS8PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return Text(out.get());
}

void AddExtension(X509* certificate, X509* issuer, int id, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str());
  PODTAP_CHECK(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

long NextSerial() {
  static std::atomic<long> next{0x1000};
  return next++;
}

// A certificate without extensions and signature.
X509Ptr Begin(const std::string& name, EVP_PKEY* key, int64_t from_s, int64_t to_s, long serial) {
  X509Ptr certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), from_s);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), to_s);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  return certificate;
}

}  // namespace

TestAuthority::TestAuthority(const std::string& name, int64_t valid_for_s)
    : key_(MakeKey("P-256")),
      certificate_(Begin(name, key_.get(), int64_t{-86'400} * 365, valid_for_s, NextSerial())) {
  X509_set_issuer_name(certificate_.get(), X509_get_subject_name(certificate_.get()));
  AddExtension(certificate_.get(), certificate_.get(), NID_basic_constraints, "critical,CA:TRUE");
  AddExtension(certificate_.get(), certificate_.get(), NID_key_usage, "critical,keyCertSign");
  PODTAP_CHECK(X509_sign(certificate_.get(), key_.get(), EVP_sha256()) > 0);
  pem_ = PemOf(certificate_.get());
}

TestCertificate TestAuthority::Issue(const CertificateOptions& options) const {
  const EvpPkeyPtr key = MakeKey(options.key_type);
  const long serial = NextSerial();
  const X509Ptr certificate =
      Begin(options.common_name, key.get(), options.valid_from_s, options.valid_for_s, serial);
  X509_set_issuer_name(certificate.get(), X509_get_subject_name(certificate_.get()));
  AddExtension(certificate.get(), certificate_.get(), NID_basic_constraints, "CA:FALSE");
  if (!options.names.empty()) {
    AddExtension(certificate.get(), certificate_.get(), NID_subject_alt_name,
                 absl::StrJoin(options.names, ","));
  }
  PODTAP_CHECK(X509_sign(certificate.get(), key_.get(), EVP_sha256()) > 0);
  return {.certificate_pem = PemOf(certificate.get()),
          .key_pem = PemOf(key.get()),
          .serial = absl::StrFormat("%04X", serial)};
}

std::string EncryptKey(const std::string& key_pem) {
  const BioPtr source = ReadFrom(key_pem);
  const EvpPkeyPtr key(PEM_read_bio_PrivateKey(source.get(), nullptr, nullptr, nullptr));
  const BioPtr out(BIO_new(BIO_s_mem()));
  PODTAP_CHECK(PEM_write_bio_PKCS8PrivateKey(out.get(), key.get(), EVP_aes_256_cbc(), "secret", 6,
                                             nullptr, nullptr) == 1);
  return Text(out.get());
}

}  // namespace podtap
