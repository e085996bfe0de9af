// One shard: segments of any number of connections in, exchanges out. Single-threaded, no I/O, no
// clock: times come with the segments and with OnTick().
//
// Flow: Segment -> reassembly (bytes in order, per direction) -> http (messages) -> pairing
// (exchanges) -> ExchangeSink. Of connections that speak TLS: reassembly -> tls (the two hellos) ->
// HandshakeSink. What is learned on the way goes back to the kernel side through
// FeedbackSink, to save copying.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "agent/capture/feedback.h"
#include "agent/capture/segment.h"
#include "agent/pairing/exchange.h"
#include "agent/tls/handshake.h"
#include "common/counter.h"

namespace podtap {

// Every bound of the shard; hits are counted.
struct PipelineLimits {
  uint32_t max_connections = 65'536;
  // Reordered bytes held in all.
  uint64_t max_reordered_bytes = 1 << 20;
  uint32_t max_head_bytes = 16 * 1024;
  uint32_t max_headers = 100;
  // Requests of one connection that wait for their responses.
  uint32_t max_pending_exchanges = 1024;
  // Without a byte on the connection, an exchange times out and the connection is forgotten.
  int64_t idle_timeout_ns = int64_t{600} * 1'000'000'000;
  // How long a hole may wait to be filled by a retransmission.
  int64_t gap_timeout_ns = 1'000'000'000;
};

// The ids that a shard gives to connections: first, first + step, ...; those of shards beside it
// lie between.
struct ConnectionIds {
  uint64_t first = 1;
  uint64_t step = 1;
};

// Not thread-safe: OnSegment, OnTick, CloseTaps and Finish belong to one thread.
class Pipeline {
 public:
  // Sinks are borrowed and outlive the pipeline.
  Pipeline(const PipelineLimits& limits, pairing::ExchangeSink& exchanges,
           tls::HandshakeSink& handshakes, capture::FeedbackSink& feedback,
           const ConnectionIds& ids = {});
  ~Pipeline();

  void OnSegment(const capture::Segment& segment);
  // Lets time pass: gives up gaps, forgets idle connections. Call about ten times a second.
  void OnTick(int64_t now_ns);
  // The taps are closed: their connections end, open exchanges are sent as what they are. Walks all
  // connections, however many taps there are.
  void CloseTaps(const std::vector<capture::TapId>& taps, int64_t now_ns);
  // The agent stops: all connections end.
  void Finish(int64_t now_ns);

  // Exchanges begun and not yet ended.
  uint64_t open_exchanges() const;
  // Connections that are followed.
  uint64_t connections() const;

  // Calls `visit` for every counter, from reassembly to pairing.
  void VisitCounters(const std::function<void(const LedgerLine&)>& visit) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace podtap
