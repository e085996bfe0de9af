// IngestService: one stream per agent, from hello to close.
//
// Flow of a stream: a message is read and checked -> a write is submitted to the store -> when the
// store has committed it, the acknowledgement is sent. Reading goes on meanwhile, up to a bound, so
// that the store can put the writes of many batches into one transaction.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "collector/ingest/agent_registry.h"
#include "collector/ingest/ingest_ledger.h"
#include "collector/ingest/request_metrics.h"
#include "collector/store/event_store.h"
#include "common/clock.h"
#include "podtap/v1/ingest_service.grpc.pb.h"

namespace podtap::ingest {

constexpr size_t kMaxNodes = 4096;
constexpr size_t kMaxStreams = 8192;

class IngestStream;

// Thread-safe. `store` and `clock` outlive the service; the service outlives the gRPC server.
class IngestService final : public v1::IngestService::CallbackService {
 public:
  IngestService(store::EventStore* store, const Clock* clock)
      : store_(store), clock_(clock), registry_(kMaxNodes), requests_(clock) {}

  grpc::ServerBidiReactor<v1::StreamEventsRequest, v1::StreamEventsResponse>* StreamEvents(
      grpc::CallbackServerContext* context) override;

  // Ends all streams with CLOSE_REASON_SHUTDOWN, each after what it has sent is stored and
  // acknowledged, and refuses new ones. Returns at once.
  void Stop();

  // Adds the agents and the collector's ledger.
  void AddStatus(v1::GetServerStatusResponse* response) const;

  store::EventStore& store() { return *store_; }
  const Clock& clock() const { return *clock_; }
  AgentRegistry& registry() { return registry_; }
  IngestLedger& ledger() { return ledger_; }
  const AgentRegistry& registry() const { return registry_; }
  const IngestLedger& ledger() const { return ledger_; }

  RequestMetrics& requests() { return requests_; }

  // Called by a stream when it has ended.
  void Forget(const IngestStream* stream);

 private:
  store::EventStore* const store_;
  const Clock* const clock_;
  AgentRegistry registry_;
  IngestLedger ledger_;
  RequestMetrics requests_;

  std::mutex mutex_;
  bool stopping_ = false;
  // Streams own themselves until gRPC is done with them.
  std::map<const IngestStream*, std::weak_ptr<IngestStream>> streams_;
};

}  // namespace podtap::ingest
