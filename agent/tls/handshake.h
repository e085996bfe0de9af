// Value: what the two hellos of a TLS connection said in clear. Input of enrichment.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "agent/capture/segment.h"

namespace podtap::tls {

// The version that the server chose. Older ones than TLS 1.0, and drafts, are unknown.
enum class Version : uint8_t { kUnknown, kTls10, kTls11, kTls12, kTls13 };

// "1.2"; empty when unknown.
std::string_view VersionName(Version version);

// Every string is printable ASCII or valid UTF-8, and bounded.
struct Handshake {
  // The name the client asked for (RFC 6066 section 3), in lower case; bytes that no host name has
  // are %XX. Empty when it asked for none, or its hello was not read. With Encrypted ClientHello
  // it is the public name.
  std::string server_name;
  Version version = Version::kUnknown;
  // Application protocols (RFC 7301) that the client offered, in its order.
  std::vector<std::string> offered_protocols;
  // The one that the server chose; TLS 1.3 does not tell it in clear.
  std::string protocol;

  friend bool operator==(const Handshake&, const Handshake&) = default;
  friend bool operator<(const Handshake& a, const Handshake& b) {
    return std::tie(a.server_name, a.version, a.offered_protocols, a.protocol) <
           std::tie(b.server_name, b.version, b.offered_protocols, b.protocol);
  }
};

// Takes handshakes as they are read. Called on the pipeline's thread.
class HandshakeSink {
 public:
  virtual ~HandshakeSink() = default;
  // `pod_is_client`: the tapped pod opened the connection; else it serves it.
  virtual void OnHandshake(const capture::TapId& tap, bool pod_is_client, Handshake handshake) = 0;
};

}  // namespace podtap::tls
