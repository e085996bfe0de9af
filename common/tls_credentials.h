// gRPC's credentials made of certificate files: TLS 1.2 or newer, the server's name checked.
#pragma once

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>

#include "common/tls_files.h"

namespace podtap {

// For a server's port. Each handshake uses what `files` holds then; a CA among them makes clients
// need a certificate that it signed. Null `files` means plain text. The credentials outlive the
// server: its handshakes call back into them.
std::shared_ptr<grpc::ServerCredentials> ServerCredentialsOf(std::shared_ptr<TlsFiles> files);

// For one channel, with what `files` holds now, after looking whether they changed. Null `files`
// means plain text.
std::shared_ptr<grpc::ChannelCredentials> ChannelCredentialsOf(TlsFiles* files);

// For people: "plain text", or what TLS asks of the clients of a server.
const char* ProtectionOf(const TlsFiles* files);

// Subject of the certificate that the peer of a call was let in with, safe to show: "CN=agent".
// Empty without one.
std::string CertificateSubject(const grpc::ServerContextBase& context);

}  // namespace podtap
