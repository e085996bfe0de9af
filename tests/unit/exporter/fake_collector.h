// A collector in this process that stores sequences, and misbehaves when told to.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "grpcpp/grpcpp.h"
#include "podtap/v1/ingest_service.grpc.pb.h"

namespace podtap::exporter {

// Thread-safe. Listens on loopback while Start() was called and Stop() was not.
class FakeCollector : private v1::IngestService::Service {
 public:
  // What it does; set through Configure().
  struct Behaviour {
    // Stores batches and ranges, and answers hellos.
    bool answers_hello = true;
    bool stores = true;
    bool acknowledges = true;
    // Ends the stream right after storing this many batches of it, without acknowledging the last.
    int drop_stream_after = 0;
    // Acknowledges only so far into each batch.
    uint64_t acknowledge_short_by = 0;
    // Sends this close instead of an answer to the hello.
    v1::CloseReason close_with = v1::CLOSE_REASON_UNSPECIFIED;
  };
  // What it has seen.
  struct State {
    // In the order of storing; without errors this is 1, 2, 3, ...
    std::vector<uint64_t> stored;
    std::vector<std::pair<uint64_t, uint64_t>> dropped;
    std::vector<v1::AgentHello> hellos;
    std::vector<v1::AgentStatus> statuses;
    int batches = 0;
    // Streams whose writing end the agent closed in order.
    int orderly_ends = 0;
    uint64_t high_water = 0;
  };

  ~FakeCollector() override { Stop(); }

  // Port 0 the first time, the same port from then on.
  void Start();
  // Ends all streams at once.
  void Stop();
  int port() const { return port_; }

  void Configure(const Behaviour& behaviour);
  State state() const;
  // False when the condition does not become true in time.
  bool WaitFor(const std::function<bool(const State&)>& condition,
               std::chrono::milliseconds timeout = std::chrono::seconds(10));

 private:
  using Stream = grpc::ServerReaderWriter<v1::StreamEventsResponse, v1::StreamEventsRequest>;

  grpc::Status StreamEvents(grpc::ServerContext* context, Stream* stream) override;
  // False when the stream shall end.
  bool OnHello(const v1::AgentHello& hello, Stream* stream);
  bool OnBatch(const v1::EventBatch& batch, int number, Stream* stream);
  void Acknowledge(uint64_t sequence, Stream* stream);

  std::unique_ptr<grpc::Server> server_;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Behaviour behaviour_;
  State state_;
};

}  // namespace podtap::exporter
