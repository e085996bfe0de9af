// Value: one exchange, the ledger's unit from here on. Input of enrichment.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/capture/segment.h"
#include "agent/http/message.h"

namespace podtap::pairing {

// How an exchange ended. Numbers are those of podtap.v1.Outcome.
enum class Outcome : uint8_t {
  kComplete = 1,
  kNoResponse = 2,
  kConnectionReset = 3,
  kConnectionClosed = 4,
  kTimeout = 5,
  kUpgraded = 6,
  kTunnel = 7,
  kMalformed = 8,
};

// Bit of a flag set. Bit N stands for podtap.v1.ExchangeFlag number N.
enum class Flag : uint32_t {
  kMidstream = 1u << 1,
  kGap = 1u << 2,
  kHeadersTruncated = 1u << 3,
  kRetransmitted = 1u << 4,
  kOverlapConflict = 1u << 5,
  kPipelined = 1u << 6,
  kReordered = 1u << 7,
  kAmbiguousFraming = 1u << 8,
  kFramingInferred = 1u << 9,
};

// The final response of an exchange.
struct ExchangeResponse {
  http::ResponseHead head;
  // Bytes after the head, chunk framing included.
  uint64_t body_size = 0;
};

// Movable; owns all it holds. Times are monotonic.
struct Exchange {
  capture::ConnectionKey connection;
  // The tapped pod is the client; else it is the server.
  bool pod_is_client = false;
  // Unique in one agent run.
  uint64_t connection_id = 0;
  // 0 for the first exchange of the connection.
  uint32_t exchange_index = 0;
  // Equal on both taps of one exchange: FNV-1a (64 bit) over the request's sequence number (4
  // bytes, big endian) and the captured bytes of its head.
  uint64_t exchange_key = 0;

  http::RequestHead request;
  uint64_t request_body_size = 0;
  int64_t request_end_ns = 0;
  std::optional<ExchangeResponse> response;
  std::vector<uint16_t> informational_status_codes;
  // Last byte of the response, or when the exchange ended without one.
  int64_t end_ns = 0;

  Outcome outcome = Outcome::kComplete;
  // Flag bits.
  uint32_t flags = 0;
  // Of the Upgrade header, with Outcome::kUpgraded.
  std::string upgrade_protocol;
};

// About what the exchange takes in memory, bytes.
inline size_t MemoryOf(const Exchange& exchange) {
  constexpr size_t kFieldBytes = 16;
  size_t bytes = sizeof(exchange) + exchange.upgrade_protocol.size() +
                 exchange.request.method.size() + exchange.request.target.size() +
                 exchange.request.headers.raw().size() +
                 exchange.request.headers.size() * kFieldBytes;
  if (exchange.response) {
    bytes += exchange.response->head.headers.raw().size() +
             exchange.response->head.headers.size() * kFieldBytes;
  }
  return bytes;
}

// Takes exchanges as they end. Called on the pipeline's thread.
class ExchangeSink {
 public:
  virtual ~ExchangeSink() = default;
  virtual void OnExchange(Exchange exchange) = 0;
  // An exchange has begun that is going to end by one of the others.
  virtual void OnBegin(const capture::TapId&) {}
  // It was none after all.
  virtual void OnUnconfirmed(const capture::TapId&) {}
};

}  // namespace podtap::pairing
