// ClientHello and ServerHello (RFC 8446 sections 4.1.2 and 4.1.3, RFC 5246 section 7.4.1), read for
// what they say in clear. Everything unknown in them is passed over, GREASE (RFC 8701) included.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "agent/tls/handshake.h"

namespace podtap::tls {

// Longest server name that is kept, escapes included; RFC 1035 allows no longer one.
inline constexpr size_t kMaxServerNameBytes = 253;
// Application protocols that are kept of a list, and the longest.
inline constexpr size_t kMaxProtocols = 8;
inline constexpr size_t kMaxProtocolBytes = 32;

// First byte of a TLS record that carries a handshake.
inline constexpr uint8_t kHandshakeRecord = 22;

enum class HelloKind : uint8_t { kClient = 1, kServer = 2 };

// See Handshake for the members.
struct ClientHello {
  std::string server_name;
  std::vector<std::string> protocols;
};
struct ServerHello {
  Version version = Version::kUnknown;
  std::string protocol;
};

// `body`: the whole message behind its type and length. nullopt when lengths contradict each other.
std::optional<ClientHello> ParseClientHello(std::span<const uint8_t> body);
std::optional<ServerHello> ParseServerHello(std::span<const uint8_t> body);

// Whether these bytes begin a record with a ClientHello in it: enough of them that body bytes in
// the middle of a connection are not taken for one.
bool LooksLikeClientHello(std::span<const uint8_t> bytes);

}  // namespace podtap::tls
