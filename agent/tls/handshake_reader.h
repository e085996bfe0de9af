// Both hellos of a connection that began like TLS.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "agent/tls/handshake.h"
#include "agent/tls/hello_reader.h"

namespace podtap::tls {

// Of all readers of a shard.
//   begun = versions + those being read now.
struct HandshakeCounters {
  uint64_t begun = 0;
  // By Version that the server chose.
  uint64_t versions[5] = {};
  uint64_t malformed_hellos = 0;
  uint64_t incomplete_hellos = 0;
};

// Bytes of both directions in, a handshake out. Not thread-safe.
class HandshakeReader {
 public:
  // The counters are borrowed.
  explicit HandshakeReader(HandshakeCounters& counters);

  void Read(HelloKind from, std::span<const uint8_t> bytes);
  // The next bytes of that side will never be seen.
  void GiveUp(HelloKind from);
  // Nothing more is to be learned.
  bool done() const;
  // Ends reading and counts. nullopt when neither hello was read.
  std::optional<Handshake> Finish();

 private:
  HelloReader& reader(HelloKind kind) { return kind == HelloKind::kClient ? client_ : server_; }
  // What became of a hello; its fields are in handshake_.
  HelloReader::State TakeClient();
  HelloReader::State TakeServer();

  HandshakeCounters* counters_;
  HelloReader client_{HelloKind::kClient};
  HelloReader server_{HelloKind::kServer};
  Handshake handshake_;
};

}  // namespace podtap::tls
