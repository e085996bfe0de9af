// Both directions of a connection that began like TLS, through the reader of hellos.
//
// Input: two bytes, the sizes in which each side's bytes come; two bytes, how many bytes are the
// client's; then the client's bytes, then the server's.
#include <algorithm>
#include <optional>

#include "agent/tls/handshake_reader.h"
#include "common/status.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/text_checks.h"

namespace podtap::tls {
namespace {

using fuzz::Input;
using Bytes = std::span<const uint8_t>;

struct Outcome {
  std::optional<Handshake> handshake;
  HandshakeCounters counters;
};

// Passes `bytes` on in pieces of at most `size`.
void Pass(HandshakeReader& reader, HelloKind from, Bytes bytes, size_t size) {
  while (!bytes.empty()) {
    const size_t piece = std::min(size, bytes.size());
    reader.Read(from, bytes.first(piece));
    bytes = bytes.subspan(piece);
  }
}

Outcome ReadBoth(Bytes client, size_t client_size, Bytes server, size_t server_size) {
  Outcome outcome;
  HandshakeReader reader(outcome.counters);
  Pass(reader, HelloKind::kClient, client, client_size);
  Pass(reader, HelloKind::kServer, server, server_size);
  outcome.handshake = reader.Finish();
  return outcome;
}

void Check(const Outcome& outcome) {
  uint64_t versions = 0;
  for (const uint64_t count : outcome.counters.versions) {
    versions += count;
  }
  PODTAP_CHECK(outcome.counters.begun == 1 && versions == 1);
  PODTAP_CHECK(outcome.counters.malformed_hellos + outcome.counters.incomplete_hellos <= 2);
  if (!outcome.handshake) {
    return;
  }
  PODTAP_CHECK(outcome.handshake->server_name.size() <= kMaxServerNameBytes);
  PODTAP_CHECK(fuzz::IsSafe(outcome.handshake->server_name));
  PODTAP_CHECK(outcome.handshake->offered_protocols.size() <= kMaxProtocols);
  for (const std::string& protocol : outcome.handshake->offered_protocols) {
    PODTAP_CHECK(protocol.size() <= kMaxProtocolBytes && fuzz::IsSafe(protocol));
  }
  PODTAP_CHECK(outcome.handshake->protocol.size() <= kMaxProtocolBytes);
  PODTAP_CHECK(fuzz::IsSafe(outcome.handshake->protocol));
}

void Run(Input input) {
  const size_t client_size = size_t{input.Byte()} + 1;
  const size_t server_size = size_t{input.Byte()} + 1;
  const Bytes client = input.Bytes(input.Short());
  const Bytes server = input.Bytes(SIZE_MAX);
  const Outcome whole = ReadBoth(client, SIZE_MAX, server, SIZE_MAX);
  Check(whole);
  // What is read does not depend on how it was cut.
  const Outcome cut = ReadBoth(client, client_size, server, server_size);
  PODTAP_CHECK(cut.handshake == whole.handshake);
  PODTAP_CHECK(cut.counters.malformed_hellos == whole.counters.malformed_hellos);
  PODTAP_CHECK(cut.counters.incomplete_hellos == whole.counters.incomplete_hellos);
  LooksLikeClientHello(client);
}

}  // namespace
}  // namespace podtap::tls

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  podtap::tls::Run({data, size});
  return 0;
}
