#include "collector/ingest/ingest_service.h"

#include "collector/ingest/ingest_stream.h"
#include "common/tls_credentials.h"

namespace podtap::ingest {
namespace {

// Answers a stream that is not let in.
class Refusal final
    : public grpc::ServerBidiReactor<v1::StreamEventsRequest, v1::StreamEventsResponse> {
 public:
  explicit Refusal(const grpc::Status& status) { Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerBidiReactor<v1::StreamEventsRequest, v1::StreamEventsResponse>*
IngestService::StreamEvents(grpc::CallbackServerContext* context) {
  auto stream = std::make_shared<IngestStream>(this, CertificateSubject(*context));
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      return new Refusal({grpc::StatusCode::UNAVAILABLE, "the collector is stopping"});
    }
    if (streams_.size() >= kMaxStreams) {
      ++ledger_.streams_refused;
      return new Refusal({grpc::StatusCode::RESOURCE_EXHAUSTED, "too many streams"});
    }
    streams_[stream.get()] = stream;
  }
  stream->Start();
  return stream.get();
}

void IngestService::Stop() {
  std::vector<std::shared_ptr<IngestStream>> open;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const auto& [pointer, weak] : streams_) {
      if (std::shared_ptr<IngestStream> stream = weak.lock()) {
        open.push_back(std::move(stream));
      }
    }
  }
  for (const auto& stream : open) {
    stream->CloseWith(v1::CLOSE_REASON_SHUTDOWN, "the collector is stopping");
  }
}

void IngestService::Forget(const IngestStream* stream) {
  const std::lock_guard lock(mutex_);
  streams_.erase(stream);
}

void IngestService::AddStatus(v1::GetServerStatusResponse* response) const {
  ledger_.Visit([&](const char* name, uint64_t count, bool is_loss) {
    v1::LedgerEntry& entry = *response->add_ledger();
    entry.set_stage(v1::LEDGER_STAGE_COLLECTOR);
    entry.set_name(name);
    entry.set_count(count);
    entry.set_is_loss(is_loss);
  });
  for (v1::AgentState& state : registry_.Snapshot()) {
    *response->add_agents() = std::move(state);
  }
}

}  // namespace podtap::ingest
