// --tls-ca, --tls-cert, --tls-key and --insecure: whether a connection is encrypted, and with what.
#pragma once

#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "common/grpc_target.h"
#include "common/tls_files.h"

namespace podtap {

// What the flags hold before they are checked.
struct TlsFlags {
  TlsPaths paths;
  bool insecure = false;
};

enum class TlsRole {
  // TLS is on with certificate and key; with a CA, clients need a certificate of it.
  kServer,
  // TLS is on with a CA; certificate and key are for a server that asks for them.
  kClient,
};

void AddTlsFlags(CLI::App& app, TlsRole role, TlsFlags& flags);

// The files, read and checked; null for plain text, which on anything but loopback needs
// --insecure. kInvalidArgument names the flag, and the file; `address_flag` is where `address`
// comes from.
absl::StatusOr<std::shared_ptr<TlsFiles>> OpenTlsFiles(TlsRole role, const TlsFlags& flags,
                                                       const std::string& address_flag,
                                                       const HostPort& address);

}  // namespace podtap
