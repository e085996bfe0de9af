// The certificates and the key of one program: read from files, and checked before anything uses
// them.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

namespace podtap {

// Paths of PEM files; empty for what was not given.
struct TlsPaths {
  // Certificates of the authorities that sign the peers' certificates.
  std::string ca;
  // This program's own certificate, followed by those between it and its authority.
  std::string certificate;
  // The key of `certificate`, not encrypted.
  std::string key;
};

// What the files hold, as it was checked.
struct TlsMaterial {
  std::string ca_pem;
  std::string certificate_pem;
  std::string key_pem;
  // Of the own certificate: serial number as upper-case hex, and the seconds since the Unix epoch
  // between which it is valid. Empty and 0 without one.
  std::string serial;
  int64_t not_before_s = 0;
  int64_t not_after_s = 0;
  // When the last of the authorities ends; 0 without any.
  int64_t ca_not_after_s = 0;

  bool has_ca() const { return !ca_pem.empty(); }
  bool has_certificate() const { return !certificate_pem.empty(); }
};

// Bytes of the files, not checked.
struct TlsBytes {
  std::string ca_pem;
  std::string certificate_pem;
  std::string key_pem;

  friend bool operator==(const TlsBytes&, const TlsBytes&) = default;
};

// Reads the files, each of at most 1 MiB. Errors name flag and file.
absl::StatusOr<TlsBytes> ReadTlsFiles(const TlsPaths& paths);

// Checks what was read: whole PEM, and a key that belongs to its certificate. The time is not
// looked at. Errors name flag and file; `paths` is for them alone.
absl::StatusOr<TlsMaterial> CheckTlsBytes(const TlsPaths& paths, TlsBytes bytes);

// One line when something in `material` has expired, is not valid yet or ends within 30 days; else
// empty.
std::string ExpiryWarning(const TlsPaths& paths, const TlsMaterial& material, int64_t now_unix_ns);

}  // namespace podtap
