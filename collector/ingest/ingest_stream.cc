#include "collector/ingest/ingest_stream.h"

#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "collector/ingest/status_check.h"
#include "common/log.h"
#include "common/text.h"

namespace podtap::ingest {
namespace {

constexpr uint32_t kProtocolVersion = 1;
constexpr size_t kMaxNameBytes = 253;
constexpr size_t kMaxVersionBytes = 64;
// Batches of one stream that may wait for the store, and epochs that may wait for their ack.
constexpr int kMaxInFlight = 4;
constexpr size_t kMaxAcks = 64;
// What a full log dropped: in the losses of the collector, and in the ledger of an agent.
constexpr char kLogFull[] = "log_full";
constexpr char kDroppedByLog[] = "events_dropped";

bool IsName(const std::string& text) {
  return text.size() <= kMaxNameBytes && SafeText(text) == text;
}

// Empty when the hello is in order.
std::string CheckHello(const v1::AgentHello& hello) {
  if (hello.protocol_version() != kProtocolVersion) {
    return absl::StrFormat("protocol_version is %d, this collector speaks %d",
                           hello.protocol_version(), kProtocolVersion);
  }
  if (hello.node_name().empty() || !IsName(hello.node_name())) {
    return "node_name is empty, too long or not printable";
  }
  if (!IsName(hello.cluster_name())) {
    return "cluster_name is too long or not printable";
  }
  if (hello.epoch() == 0) {
    return "epoch is 0";
  }
  return "";
}

grpc::Status StatusOf(const v1::Close& close) {
  switch (close.reason()) {
    case v1::CLOSE_REASON_TAKEN_OVER:
      return {grpc::StatusCode::ABORTED, close.message()};
    case v1::CLOSE_REASON_PROTOCOL_ERROR:
      return {grpc::StatusCode::INVALID_ARGUMENT, close.message()};
    default:
      return {grpc::StatusCode::UNAVAILABLE, close.message()};
  }
}

}  // namespace

void IngestStream::Start() {
  const std::lock_guard lock(mutex_);
  self_ = shared_from_this();
  Pump();
}

void IngestStream::CloseWith(v1::CloseReason reason, const std::string& message) {
  const std::lock_guard lock(mutex_);
  CloseLocked(reason, message);
  Pump();
}

void IngestStream::TakeOver() {
  CloseWith(v1::CLOSE_REASON_TAKEN_OVER, "a newer stream of this node took over");
}

void IngestStream::CloseLocked(v1::CloseReason reason, const std::string& message) {
  if (!close_) {
    close_.emplace();
    close_->set_reason(reason);
    close_->set_message(message);
  }
}

// Starts whatever can be started now.
void IngestStream::Pump() {
  if (finished_) {
    return;
  }
  if (!reading_ && !read_ended_ && !cancelled_ && !close_ && in_flight_ < kMaxInFlight &&
      acks_.size() < kMaxAcks) {
    reading_ = true;
    StartRead(&request_);
  }
  if (writing_) {
    return;
  }
  if (cancelled_) {
    finished_ = true;
    Finish(grpc::Status::CANCELLED);
    return;
  }
  if (WriteNext()) {
    writing_ = true;
    StartWrite(&response_);
    return;
  }
  if (close_sent_ || (read_ended_ && in_flight_ == 0)) {
    finished_ = true;
    Finish(close_ ? StatusOf(*close_) : grpc::Status::OK);
  }
}

// Puts the next message to send into response_; false when there is none.
bool IngestStream::WriteNext() {
  response_.Clear();
  if (hello_ack_) {
    *response_.mutable_hello_ack() = *std::move(hello_ack_);
    hello_ack_.reset();
    return true;
  }
  if (!acks_.empty()) {
    const auto first = acks_.begin();
    response_.mutable_ack()->set_epoch(first->first);
    response_.mutable_ack()->set_acked_sequence(first->second);
    acks_.erase(first);
    return true;
  }
  if (close_ && !close_sent_ && in_flight_ == 0) {
    *response_.mutable_close() = *close_;
    close_sent_ = true;
    return true;
  }
  return false;
}

void IngestStream::OnReadDone(bool ok) {
  if (ok) {
    // Only this thread touches request_ until the next StartRead().
    Handle(request_);
  }
  const std::lock_guard lock(mutex_);
  reading_ = false;
  read_ended_ = read_ended_ || !ok;
  Pump();
}

void IngestStream::OnWriteDone(bool ok) {
  const std::lock_guard lock(mutex_);
  writing_ = false;
  cancelled_ = cancelled_ || !ok;
  Pump();
}

void IngestStream::OnCancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  Pump();
}

void IngestStream::OnDone() {
  if (hello_) {
    service_->registry().Disconnect(hello_->node_name(), this);
    PODTAP_LOG_INFO("agent of node {} disconnected", hello_->node_name());
  }
  service_->Forget(this);
  std::shared_ptr<IngestStream> self;
  {
    const std::lock_guard lock(mutex_);
    self.swap(self_);
  }
  // `self` may be the last owner: nothing may be touched behind this.
}

store::Origin IngestStream::OriginOf(uint64_t epoch) const {
  return {.node_name = hello_->node_name(), .cluster_name = hello_->cluster_name(), .epoch = epoch};
}

void IngestStream::ProtocolError(const std::string& message) {
  ++service_->ledger().protocol_errors;
  PODTAP_LOG_WARN("agent of node {}: protocol error: {}",
                  hello_ ? hello_->node_name() : std::string("?"), message);
  const std::lock_guard lock(mutex_);
  CloseLocked(v1::CLOSE_REASON_PROTOCOL_ERROR, message);
}

void IngestStream::Handle(v1::StreamEventsRequest& request) {
  if (hello_) {
    service_->registry().Heard(hello_->node_name(), this, service_->clock().WallNs());
  } else if (!request.has_hello()) {
    ProtocolError("the first message is not a hello");
    return;
  }
  switch (request.message_case()) {
    case v1::StreamEventsRequest::kHello:
      HandleHello(request.hello());
      return;
    case v1::StreamEventsRequest::kBatch:
      HandleBatch(std::move(*request.mutable_batch()));
      return;
    case v1::StreamEventsRequest::kStatus:
      HandleStatus(std::move(*request.mutable_status()));
      return;
    case v1::StreamEventsRequest::kDropped:
      HandleDropped(request.dropped());
      return;
    case v1::StreamEventsRequest::MESSAGE_NOT_SET:
      // A kind that this version does not know.
      return;
  }
}

void IngestStream::HandleHello(const v1::AgentHello& hello) {
  if (hello_) {
    ProtocolError("a second hello");
    return;
  }
  if (const std::string error = CheckHello(hello); !error.empty()) {
    ProtocolError("hello: " + error);
    return;
  }
  v1::AgentHello checked = hello;
  checked.set_agent_version(SafeText(hello.agent_version(), kMaxVersionBytes));
  absl::StatusOr<std::shared_ptr<AgentSession>> displaced = service_->registry().Connect(
      checked, certificate_subject_, shared_from_this(), service_->clock().WallNs());
  if (!displaced.ok()) {
    ++service_->ledger().streams_refused;
    CloseWith(v1::CLOSE_REASON_STORE_UNAVAILABLE, std::string(displaced.status().message()));
    return;
  }
  if (*displaced) {
    ++service_->ledger().streams_taken_over;
    (*displaced)->TakeOver();
  }
  hello_ = std::move(checked);
  ++service_->ledger().streams_opened;
  PODTAP_LOG_INFO("agent of node {} connected, epoch {:016x}, version {}{}{}", hello_->node_name(),
                  hello_->epoch(), hello_->agent_version(),
                  certificate_subject_.empty() ? "" : ", certificate of ", certificate_subject_);
  v1::HelloAck ack;
  ack.set_protocol_version(kProtocolVersion);
  for (const store::Position& position : service_->store().Positions(hello_->node_name())) {
    v1::Ack& entry = *ack.add_positions();
    entry.set_epoch(position.epoch);
    entry.set_acked_sequence(position.sequence);
    service_->registry().SetAcked(hello_->node_name(), this, position.epoch, position.sequence);
  }
  const std::lock_guard lock(mutex_);
  hello_ack_ = std::move(ack);
}

void IngestStream::HandleBatch(v1::EventBatch batch) {
  const absl::StatusOr<SequenceRange> range = RangeOf(batch);
  if (!range.ok()) {
    ProtocolError("batch: " + std::string(range.status().message()));
    return;
  }
  const uint64_t epoch = batch.epoch();
  const auto events = static_cast<uint64_t>(batch.events_size());
  service_->ledger().events_received += events;
  const absl::Status usable = PrepareBatch(batch);
  store::Write write;
  BatchObservations observed;
  if (usable.ok()) {
    observed = Observe(OriginOf(epoch), batch);
    write = store::BatchWrite{OriginOf(epoch), std::move(batch)};
  } else {
    // Acknowledged like a stored one: sent again it would be as bad, and hold up what follows.
    write = store::SkipWrite{OriginOf(epoch), range->first, range->last, v1::LEDGER_STAGE_COLLECTOR,
                             "rejected"};
    if (!std::exchange(logged_rejection_, true)) {
      PODTAP_LOG_WARN("agent of node {}: a batch of {} events is rejected: {}", hello_->node_name(),
                      events, std::string(usable.message()));
    }
  }
  Submit(std::move(write),
         [self = shared_from_this(), epoch, events, rejected = !usable.ok(),
          observed = std::move(observed)](const absl::StatusOr<store::WriteResult>& result) {
           self->CountBatch(events, rejected, observed, result);
           self->OnStored(epoch, result);
         });
}

void IngestStream::CountBatch(uint64_t events, bool rejected, const BatchObservations& observed,
                              const absl::StatusOr<store::WriteResult>& result) {
  IngestLedger& ledger = service_->ledger();
  if (!result.ok()) {
    ledger.events_not_stored += events;
    return;
  }
  ledger.sequence_hole += result->missing;
  if (rejected) {
    ledger.events_rejected += result->skipped;
    ledger.events_duplicate += events - result->skipped;
  } else {
    ledger.events_stored += result->stored;
    service_->registry().CountStored(hello_->node_name(), result->stored);
    service_->requests().Record(observed, result->duplicates);
    ledger.events_duplicate += result->duplicates;
  }
}

void IngestStream::HandleDropped(const v1::DroppedRange& dropped) {
  const absl::StatusOr<SequenceRange> range = RangeOf(dropped);
  if (!range.ok()) {
    ProtocolError("dropped range: " + std::string(range.status().message()));
    return;
  }
  const uint64_t epoch = dropped.epoch();
  Submit(store::SkipWrite{OriginOf(epoch), range->first, range->last, v1::LEDGER_STAGE_EXPORTER,
                          kLogFull},
         [self = shared_from_this(), epoch](const absl::StatusOr<store::WriteResult>& result) {
           if (result.ok()) {
             self->service_->ledger().events_dropped_by_agents += result->skipped;
             self->service_->ledger().sequence_hole += result->missing;
           }
           self->OnStored(epoch, result);
         });
}

void IngestStream::HandleStatus(v1::AgentStatus status) {
  service_->ledger().status_lines_ignored += static_cast<uint64_t>(PrepareStatus(status));
  service_->registry().SetStatus(hello_->node_name(), this, status);
  store::LossWrite write;
  write.origin = OriginOf(hello_->epoch());
  for (const v1::LedgerEntry& entry : status.ledger()) {
    // What a full log dropped is recorded when the dropped range itself arrives.
    const bool is_of_ranges =
        entry.stage() == v1::LEDGER_STAGE_EXPORTER && entry.name() == kDroppedByLog;
    if (entry.is_loss() && !is_of_ranges) {
      write.counters.push_back(entry);
    }
  }
  Submit(std::move(write), [self = shared_from_this()](
                               const absl::StatusOr<store::WriteResult>& result) {
    const std::lock_guard lock(self->mutex_);
    --self->in_flight_;
    if (!result.ok()) {
      // The counters come again, but the chain of writes is broken.
      self->CloseLocked(v1::CLOSE_REASON_STORE_UNAVAILABLE, std::string(result.status().message()));
    }
    self->Pump();
  });
}

void IngestStream::Submit(store::Write write, store::WriteDone done) {
  {
    const std::lock_guard lock(mutex_);
    ++in_flight_;
  }
  service_->store().Submit(chain_, std::move(write), std::move(done));
}

void IngestStream::OnStored(uint64_t epoch, const absl::StatusOr<store::WriteResult>& result) {
  if (result.ok()) {
    service_->registry().SetAcked(hello_->node_name(), this, epoch, result->acked_sequence);
  }
  const std::lock_guard lock(mutex_);
  --in_flight_;
  if (!result.ok()) {
    if (!close_) {
      // The store has said so once for all agents.
      PODTAP_LOG_DEBUG("agent of node {}: the store can't take events: {}", hello_->node_name(),
                       std::string(result.status().message()));
    }
    CloseLocked(v1::CLOSE_REASON_STORE_UNAVAILABLE, std::string(result.status().message()));
  } else if (!close_ || close_->reason() != v1::CLOSE_REASON_STORE_UNAVAILABLE) {
    acks_[epoch] = result->acked_sequence;
  }
  Pump();
}

}  // namespace podtap::ingest
