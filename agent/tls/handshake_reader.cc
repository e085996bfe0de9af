#include "agent/tls/handshake_reader.h"

#include <utility>

namespace podtap::tls {

using State = HelloReader::State;

HandshakeReader::HandshakeReader(HandshakeCounters& counters) : counters_(&counters) {
  ++counters_->begun;
}

void HandshakeReader::Read(HelloKind from, std::span<const uint8_t> bytes) {
  reader(from).Read(bytes);
}

void HandshakeReader::GiveUp(HelloKind from) { reader(from).GiveUp(); }

bool HandshakeReader::done() const {
  // Where one side does not speak TLS, nothing of the other is worth waiting for.
  const bool malformed =
      client_.state() == State::kMalformed || server_.state() == State::kMalformed;
  return malformed || (client_.state() != State::kReading && server_.state() != State::kReading);
}

std::optional<Handshake> HandshakeReader::Finish() {
  const State client = TakeClient();
  const State server = TakeServer();
  if (client == State::kMalformed || server == State::kMalformed) {
    counters_->malformed_hellos += (client == State::kMalformed) + (server == State::kMalformed);
  } else {
    counters_->incomplete_hellos += (client != State::kRead) + (server != State::kRead);
  }
  ++counters_->versions[static_cast<size_t>(handshake_.version)];
  if (client != State::kRead && server != State::kRead) {
    return std::nullopt;
  }
  return std::move(handshake_);
}

State HandshakeReader::TakeClient() {
  if (client_.state() != State::kRead) {
    return client_.state();
  }
  std::optional<ClientHello> hello = ParseClientHello(client_.body());
  if (!hello) {
    return State::kMalformed;
  }
  handshake_.server_name = std::move(hello->server_name);
  handshake_.offered_protocols = std::move(hello->protocols);
  return State::kRead;
}

State HandshakeReader::TakeServer() {
  if (server_.state() != State::kRead) {
    return server_.state();
  }
  std::optional<ServerHello> hello = ParseServerHello(server_.body());
  if (!hello) {
    return State::kMalformed;
  }
  handshake_.version = hello->version;
  handshake_.protocol = std::move(hello->protocol);
  return State::kRead;
}

}  // namespace podtap::tls
