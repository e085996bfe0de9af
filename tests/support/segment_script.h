// Drives a pipeline in tests: connections whose segments are made from text, and what came out.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/pipeline.h"

namespace podtap::testing {

class ExchangeRecorder : public pairing::ExchangeSink {
 public:
  void OnExchange(pairing::Exchange exchange) override { exchanges.push_back(std::move(exchange)); }
  std::vector<pairing::Exchange> exchanges;
};

class HandshakeRecorder : public tls::HandshakeSink {
 public:
  void OnHandshake(const capture::TapId& tap, bool pod_is_client,
                   tls::Handshake handshake) override {
    (pod_is_client ? of_clients : of_servers).emplace_back(tap, std::move(handshake));
  }
  std::vector<std::pair<capture::TapId, tls::Handshake>> of_clients;
  std::vector<std::pair<capture::TapId, tls::Handshake>> of_servers;
};

class FeedbackRecorder : public capture::FeedbackSink {
 public:
  void OnFeedback(const capture::ConnectionKey& key, const capture::Feedback& feedback) override {
    posts.emplace_back(key, feedback);
  }
  void OnForgotten(const capture::ConnectionKey& key) override { forgotten.push_back(key); }
  // Posts with this verdict.
  size_t Count(capture::Verdict verdict) const;

  std::vector<std::pair<capture::ConnectionKey, capture::Feedback>> posts;
  std::vector<capture::ConnectionKey> forgotten;
};

// A pipeline with its sinks and a clock that moves one millisecond per segment.
class PipelineHarness {
 public:
  explicit PipelineHarness(const PipelineLimits& limits = PipelineLimits());

  void Deliver(capture::Segment segment);
  // Lets time pass, ticking every 100 ms.
  void Sleep(int64_t duration_ns);
  void Finish();
  std::map<std::string, CounterValue> Counters() const;
  uint64_t Count(const std::string& name) const;
  uint64_t Bytes(const std::string& name) const;
  // Empty when every identity of the ledger holds; else what does not.
  std::string CheckLedger() const;

  const std::vector<pairing::Exchange>& exchanges() const { return sink.exchanges; }

  ExchangeRecorder sink;
  HandshakeRecorder handshakes;
  FeedbackRecorder feedback;
  Pipeline pipeline;
  int64_t now_ns = 1'000'000'000'000;
  // Between segments.
  int64_t step_ns = 1'000'000;
};

struct ConnectionOptions {
  bool pod_is_client = false;
  bool midstream = false;
  uint32_t client_isn = 1000;
  uint32_t server_isn = 900'000;
  uint16_t client_port = 40'000;
  capture::TapId tap = {1, 1};
  int64_t opened_ns = 5;
};

// What a segment carries beside its bytes.
struct SegmentOptions {
  bool fin = false;
  bool rst = false;
};

// One TCP connection through a harness. Offsets count payload bytes of one direction from 0.
class TestConnection {
 public:
  explicit TestConnection(PipelineHarness& harness, const ConnectionOptions& options = {});

  // The next bytes of a direction, as one segment.
  void Client(std::string_view bytes, SegmentOptions options = {});
  void Server(std::string_view bytes, SegmentOptions options = {});
  void ClientFin() { Client("", {.fin = true}); }
  void ServerFin() { Server("", {.fin = true}); }
  void ClientRst() { Client("", {.rst = true}); }
  void ServerRst() { Server("", {.rst = true}); }

  // A segment at any offset; the next offsets stay what they are.
  void ClientAt(uint64_t offset, std::string_view bytes, SegmentOptions options = {});
  void ServerAt(uint64_t offset, std::string_view bytes, SegmentOptions options = {});

  // The next bytes were sent, and the tap lost sight of them.
  void LoseClient(uint64_t size) { client_next_ += size; }
  void LoseServer(uint64_t size) { server_next_ += size; }
  // The next bytes as records without a copy.
  void CoalesceClient(uint64_t size) { Coalesce(true, size); }
  void CoalesceServer(uint64_t size) { Coalesce(false, size); }
  // A large segment: `head`, `middle` bytes without a copy, `tail`.
  void ServerLarge(std::string_view head, uint64_t middle, std::string_view tail);
  void ClientLarge(std::string_view head, uint64_t middle, std::string_view tail);

  capture::Segment Make(bool from_client, uint64_t offset) const;
  PipelineHarness& harness() { return *harness_; }
  uint64_t client_next() const { return client_next_; }
  uint64_t server_next() const { return server_next_; }

 private:
  void At(bool from_client, uint64_t offset, std::string_view bytes, SegmentOptions options);
  void Coalesce(bool from_client, uint64_t size);
  void Large(bool from_client, std::string_view head, uint64_t middle, std::string_view tail);

  PipelineHarness* harness_;
  ConnectionOptions options_;
  uint64_t client_next_ = 0;
  uint64_t server_next_ = 0;
};

// "GET /a -> 200 request=0 response=5 COMPLETE PIPELINED 1xx=100": what tests compare.
// Flags in `ignored` are left out.
std::string Describe(const pairing::Exchange& exchange, uint32_t ignored = 0);
std::vector<std::string> DescribeAll(const std::vector<pairing::Exchange>& exchanges,
                                     uint32_t ignored = 0);

}  // namespace podtap::testing
