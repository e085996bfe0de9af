#include "agent/exporter/collector_session.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "absl/strings/str_format.h"
#include "common/status.h"
#include "common/text.h"

namespace podtap::exporter {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr uint32_t kProtocolVersion = 1;
// How soon a stop, an aged batch or a missing acknowledgement is noticed.
constexpr milliseconds kPollInterval{50};
// The same when nothing was sent for a while.
constexpr milliseconds kQuietPollInterval{200};
constexpr milliseconds kQuietAfter{2'000};
// For the last status, when the time to stop is up already.
constexpr milliseconds kFarewellTime{200};
constexpr int64_t kNsPerSecond = 1'000'000'000;

void SetTime(int64_t unix_ns, google::protobuf::Timestamp* out) {
  out->set_seconds(unix_ns / kNsPerSecond);
  out->set_nanos(static_cast<int32_t>(unix_ns % kNsPerSecond));
}

}  // namespace

void StopGate::Request(TimePoint deadline) {
  const std::lock_guard lock(mutex_);
  deadline_ = deadline;
  requested_.notify_all();
}

std::optional<StopGate::TimePoint> StopGate::deadline() const {
  const std::lock_guard lock(mutex_);
  return deadline_;
}

void StopGate::Sleep(std::chrono::nanoseconds time) {
  std::unique_lock lock(mutex_);
  requested_.wait_for(lock, time, [&] { return deadline_.has_value(); });
}

CollectorSession::CollectorSession(const CollectorClientOptions& options, EventLog& log,
                                   const Clock& clock, const StatusFiller& fill_status,
                                   const StopGate& stop, CollectorClientCounters& counters)
    : options_(options),
      log_(log),
      clock_(clock),
      fill_status_(fill_status),
      stop_(stop),
      counters_(counters),
      stream_(CreateCollectorChannel(options.collector, options.tls.get())) {}

absl::Status CollectorSession::Run(std::function<void()> on_working) {
  on_working_ = std::move(on_working);
  PODTAP_RETURN_IF_ERROR(
      Await(CollectorStream::Step::kStarted, options_.connect_timeout, "the connection"));
  connected_ = true;
  PODTAP_RETURN_IF_ERROR(Greet());
  ++counters_.streams_accepted;
  if (log_.counters().queued == 0) {
    SetWorking();
  }
  return Exchange();
}

void CollectorSession::SetWorking() {
  if (!working_) {
    working_ = true;
    on_working_();
  }
}

absl::Status CollectorSession::Await(CollectorStream::Step wanted, milliseconds timeout,
                                     const char* what) {
  const TimePoint deadline = steady_clock::now() + timeout;
  while (true) {
    const CollectorStream::Step step = stream_.Wait(kPollInterval);
    if (step == wanted) {
      return absl::OkStatus();
    }
    if (step == CollectorStream::Step::kEnded) {
      return stream_.status().ok() ? absl::UnavailableError("the stream was ended")
                                   : stream_.status();
    }
    const TimePoint now = steady_clock::now();
    if (now >= deadline) {
      return absl::DeadlineExceededError(
          absl::StrFormat("waited %d ms for %s", timeout.count(), what));
    }
    const std::optional<TimePoint> stop = stop_.deadline();
    if (stop && (now >= *stop || log_.counters().queued == 0)) {
      return absl::CancelledError("stopping");
    }
  }
}

absl::Status CollectorSession::Greet() {
  v1::StreamEventsRequest request;
  v1::AgentHello* hello = request.mutable_hello();
  hello->set_node_name(options_.origin.node_name);
  hello->set_cluster_name(options_.origin.cluster_name);
  hello->set_epoch(options_.origin.epoch);
  hello->set_agent_version(options_.agent_version);
  hello->set_protocol_version(kProtocolVersion);
  SetTime(options_.start_unix_ns, hello->mutable_start_time());
  Write(request);
  PODTAP_RETURN_IF_ERROR(
      Await(CollectorStream::Step::kMessage, options_.hello_timeout, "an answer to the hello"));
  const v1::StreamEventsResponse& answer = stream_.message();
  if (answer.has_close()) {
    return OnMessage(answer);
  }
  if (!answer.has_hello_ack()) {
    return absl::InternalError("the first answer is not one to the hello");
  }
  return OnHelloAck(answer.hello_ack());
}

absl::Status CollectorSession::OnHelloAck(const v1::HelloAck& hello) {
  for (const v1::Ack& position : hello.positions()) {
    PODTAP_RETURN_IF_ERROR(OnAck(position));
  }
  cursor_ = log_.acked_sequence();
  next_status_ = steady_clock::now();
  return absl::OkStatus();
}

absl::Status CollectorSession::Exchange() {
  while (true) {
    const TimePoint now = steady_clock::now();
    if (const std::optional<TimePoint> stop = stop_.deadline()) {
      log_.SealNow();
      if (now >= *stop || log_.counters().queued == 0) {
        return Finish();
      }
    } else {
      log_.Seal(clock_.MonotonicNs());
    }
    if (stream_.can_write()) {
      WriteDue(now);
    }
    PODTAP_RETURN_IF_ERROR(CheckProgress(now));
    const bool is_quiet = in_flight_.empty() && now - sent_ > kQuietAfter;
    switch (stream_.Wait(is_quiet ? kQuietPollInterval : kPollInterval)) {
      case CollectorStream::Step::kMessage:
        PODTAP_RETURN_IF_ERROR(OnMessage(stream_.message()));
        break;
      case CollectorStream::Step::kEnded:
        return stream_.status().ok() ? absl::UnavailableError("the stream was ended")
                                     : stream_.status();
      case CollectorStream::Step::kTimeout:
      case CollectorStream::Step::kStarted:
      case CollectorStream::Step::kWritten:
        break;
    }
  }
}

absl::Status CollectorSession::Finish() {
  const TimePoint deadline =
      std::max(stop_.deadline().value_or(TimePoint()), steady_clock::now() + kFarewellTime);
  enum class Left { kStatus, kEndOfWrites, kNothing } left = Left::kStatus;
  while (steady_clock::now() < deadline) {
    if (stream_.can_write() && left == Left::kStatus) {
      WriteStatus(steady_clock::now());
      left = Left::kEndOfWrites;
    } else if (stream_.can_write() && left == Left::kEndOfWrites) {
      stream_.FinishWriting();
      left = Left::kNothing;
    }
    const CollectorStream::Step step = stream_.Wait(kPollInterval);
    if (step == CollectorStream::Step::kEnded) {
      break;
    }
    if (step == CollectorStream::Step::kMessage && !OnMessage(stream_.message()).ok()) {
      break;
    }
  }
  return absl::OkStatus();
}

absl::Status CollectorSession::OnMessage(const v1::StreamEventsResponse& message) {
  switch (message.message_case()) {
    case v1::StreamEventsResponse::kAck:
      return OnAck(message.ack());
    case v1::StreamEventsResponse::kClose:
      close_reason_ = message.close().reason();
      return absl::AbortedError(absl::StrFormat("the collector closed the stream: %s",
                                                SafeText(message.close().message(), 256)));
    case v1::StreamEventsResponse::kHelloAck:
    case v1::StreamEventsResponse::MESSAGE_NOT_SET:
      return absl::OkStatus();
  }
  return absl::OkStatus();
}

absl::Status CollectorSession::OnAck(const v1::Ack& ack) {
  // Of an epoch before this one there is nothing left to send.
  if (ack.epoch() != options_.origin.epoch) {
    return absl::OkStatus();
  }
  const uint64_t before = log_.acked_sequence();
  if (!log_.Acknowledge(ack.acked_sequence())) {
    return absl::InternalError(absl::StrFormat(
        "the collector acknowledged sequence %d, which was not sent", ack.acked_sequence()));
  }
  const TimePoint now = steady_clock::now();
  while (!in_flight_.empty() && in_flight_.front().last_sequence <= ack.acked_sequence()) {
    counters_.ack_latency.Observe(std::chrono::nanoseconds(now - in_flight_.front().sent).count());
    in_flight_.pop_front();
  }
  if (ack.acked_sequence() > before) {
    waiting_since_ = now;
    progressed_ = true;
    SetWorking();
  }
  return absl::OkStatus();
}

void CollectorSession::WriteDue(TimePoint now) {
  if (now >= next_status_) {
    WriteStatus(now);
    return;
  }
  if (in_flight_.size() >= options_.max_in_flight) {
    return;
  }
  if (const std::optional<LogItem> item = log_.Take(cursor_)) {
    WriteItem(*item, now);
  }
}

void CollectorSession::WriteItem(const LogItem& item, TimePoint now) {
  if (in_flight_.empty()) {
    waiting_since_ = now;
  }
  in_flight_.push_back({item.last_sequence, now});
  sent_ = now;
  cursor_ = item.last_sequence;
  if (item.dropped()) {
    v1::StreamEventsRequest request;
    v1::DroppedRange* range = request.mutable_dropped();
    range->set_epoch(options_.origin.epoch);
    range->set_first_sequence(item.first_sequence);
    range->set_last_sequence(item.last_sequence);
    Write(request);
    ++counters_.ranges_sent;
    return;
  }
  ++counters_.batches_sent;
  counters_.batches_resent += item.last_sequence <= counters_.sent_through ? 1 : 0;
  counters_.sent_through = std::max(counters_.sent_through, item.last_sequence);
  counters_.bytes_sent += item.message->size();
  writing_since_ = now;
  stream_.Write(item.message);
}

void CollectorSession::WriteStatus(TimePoint now) {
  next_status_ = now + options_.status_interval;
  v1::StreamEventsRequest request;
  v1::AgentStatus* status = request.mutable_status();
  SetTime(clock_.WallNs(), status->mutable_time());
  status->set_last_sequence(log_.last_sequence());
  fill_status_(*status);
  Write(request);
  ++counters_.statuses_sent;
}

void CollectorSession::Write(const v1::StreamEventsRequest& request) {
  writing_since_ = steady_clock::now();
  stream_.Write(std::make_shared<const std::string>(request.SerializeAsString()));
}

absl::Status CollectorSession::CheckProgress(TimePoint now) const {
  const bool ack_late = !in_flight_.empty() && now - waiting_since_ > options_.ack_timeout;
  const bool write_late = !stream_.can_write() && now - writing_since_ > options_.ack_timeout;
  if (!ack_late && !write_late) {
    return absl::OkStatus();
  }
  return absl::DeadlineExceededError(absl::StrFormat(
      "no %s for %d ms", ack_late ? "acknowledgement" : "progress", options_.ack_timeout.count()));
}

}  // namespace podtap::exporter
