// One agent's stream. Internal to the ingest folder.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "collector/ingest/agent_registry.h"
#include "collector/ingest/batch_decoder.h"
#include "collector/ingest/ingest_service.h"

namespace podtap::ingest {

// Calls come from gRPC's threads, the store's thread and other streams; the mutex orders them. At
// most one read and one write are under way, and Finish() is called once, when there is no write:
// what gRPC asks of a reactor. Keeps itself alive until OnDone().
class IngestStream final
    : public grpc::ServerBidiReactor<v1::StreamEventsRequest, v1::StreamEventsResponse>,
      public AgentSession,
      public std::enable_shared_from_this<IngestStream> {
 public:
  // `certificate_subject` is of the agent's certificate; empty without one.
  IngestStream(IngestService* service, std::string certificate_subject)
      : service_(service), certificate_subject_(std::move(certificate_subject)) {}

  // Begins to read. Called once, before anything else.
  void Start();
  // Ends the stream with a close, once what is submitted has been stored.
  void CloseWith(v1::CloseReason reason, const std::string& message);

  void TakeOver() override;
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void Handle(v1::StreamEventsRequest& request);
  void HandleHello(const v1::AgentHello& hello);
  void HandleBatch(v1::EventBatch batch);
  void HandleDropped(const v1::DroppedRange& dropped);
  void HandleStatus(v1::AgentStatus status);
  void ProtocolError(const std::string& message);
  void Submit(store::Write write, store::WriteDone done);
  void OnStored(uint64_t epoch, const absl::StatusOr<store::WriteResult>& result);
  void CountBatch(uint64_t events, bool rejected, const BatchObservations& observed,
                  const absl::StatusOr<store::WriteResult>& result);
  store::Origin OriginOf(uint64_t epoch) const;

  // With the mutex held.
  void CloseLocked(v1::CloseReason reason, const std::string& message);
  void Pump();
  bool WriteNext();

  IngestService* const service_;
  const std::string certificate_subject_;
  const std::shared_ptr<store::WriteChain> chain_ = std::make_shared<store::WriteChain>();
  // Set by Handle() only, on the thread that reads.
  std::optional<v1::AgentHello> hello_;
  bool logged_rejection_ = false;
  v1::StreamEventsRequest request_;

  std::mutex mutex_;
  std::shared_ptr<IngestStream> self_;
  v1::StreamEventsResponse response_;
  bool reading_ = false;
  bool writing_ = false;
  bool finished_ = false;
  // The agent sends no more, or is gone.
  bool read_ended_ = false;
  bool cancelled_ = false;
  // Writes submitted and not reported yet.
  int in_flight_ = 0;
  std::optional<v1::HelloAck> hello_ack_;
  // Acknowledgements to be sent, by epoch.
  std::map<uint64_t, uint64_t> acks_;
  std::optional<v1::Close> close_;
  bool close_sent_ = false;
};

}  // namespace podtap::ingest
