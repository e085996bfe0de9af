// The protocol on one stream to the collector: hello, then batches within a window, statuses, and
// acknowledgements. See proto/podtap/v1/ingest_service.proto.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "agent/exporter/collector_stream.h"
#include "agent/exporter/event_log.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/grpc_target.h"
#include "common/histogram.h"
#include "common/tls_files.h"

namespace podtap::exporter {

struct CollectorClientOptions {
  HostPort collector;
  // Null for plain text. Shared with whoever watches the files.
  std::shared_ptr<TlsFiles> tls;
  EventOrigin origin;
  std::string agent_version;
  // When the agent started.
  int64_t start_unix_ns = 0;

  // Batches and dropped ranges sent and not acknowledged.
  size_t max_in_flight = 16;
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds hello_timeout{10'000};
  // Without any progress for so long while something is due, the collector hangs.
  std::chrono::milliseconds ack_timeout{15'000};
  std::chrono::milliseconds status_interval{10'000};
  BackoffLimits backoff;
};

// Fills the ledger and the numbers of a status; its time and last_sequence are filled already.
// Called on the client's thread.
using StatusFiller = std::function<void(v1::AgentStatus&)>;

// What the client did since it was made.
struct CollectorClientCounters {
  std::atomic<uint64_t> streams_accepted{0};
  std::atomic<uint64_t> streams_failed{0};
  std::atomic<uint64_t> batches_sent{0};
  std::atomic<uint64_t> batches_resent{0};
  std::atomic<uint64_t> bytes_sent{0};
  std::atomic<uint64_t> ranges_sent{0};
  std::atomic<uint64_t> statuses_sent{0};
  // From the write of a batch or range to its acknowledgement.
  WorkHistogram ack_latency;
  // Highest sequence ever sent; tells a batch that is sent again. The client's thread only.
  uint64_t sent_through = 0;
};

// The wish to stop, and until when work may go on. Thread-safe.
class StopGate {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  void Request(TimePoint deadline);
  // Empty until the request.
  std::optional<TimePoint> deadline() const;
  // Waits for the time, or until the request comes.
  void Sleep(std::chrono::nanoseconds time);

 private:
  mutable std::mutex mutex_;
  std::condition_variable requested_;
  std::optional<TimePoint> deadline_;
};

// Makes one stream, and drives it to its end. Used once, by one thread.
class CollectorSession {
 public:
  // All are borrowed and outlive the session.
  CollectorSession(const CollectorClientOptions& options, EventLog& log, const Clock& clock,
                   const StatusFiller& fill_status, const StopGate& stop,
                   CollectorClientCounters& counters);

  // Returns OK after a wanted stop, else why the stream ended. `on_working` is called once, when
  // the stream has shown that it works: by the first acknowledgement, or by the answer to the hello
  // when there is nothing to acknowledge.
  absl::Status Run(std::function<void()> on_working);

  // There was a connection.
  bool connected() const { return connected_; }
  // The collector acknowledged something new.
  bool progressed() const { return progressed_; }
  // Why the collector closed the stream; CLOSE_REASON_UNSPECIFIED when it did not say.
  v1::CloseReason close_reason() const { return close_reason_; }

 private:
  using TimePoint = StopGate::TimePoint;

  // Waits for a step of this kind. kCancelled when a stop is wanted and there is nothing to send.
  absl::Status Await(CollectorStream::Step wanted, std::chrono::milliseconds timeout,
                     const char* what);
  absl::Status Greet();
  absl::Status Exchange();
  // After a stop: the last status, and an orderly end.
  absl::Status Finish();
  absl::Status OnMessage(const v1::StreamEventsResponse& message);
  absl::Status OnHelloAck(const v1::HelloAck& hello);
  absl::Status OnAck(const v1::Ack& ack);
  void SetWorking();
  // Writes what is due, if anything.
  void WriteDue(TimePoint now);
  void WriteItem(const LogItem& item, TimePoint now);
  void WriteStatus(TimePoint now);
  void Write(const v1::StreamEventsRequest& request);
  absl::Status CheckProgress(TimePoint now) const;

  const CollectorClientOptions& options_;
  EventLog& log_;
  const Clock& clock_;
  const StatusFiller& fill_status_;
  const StopGate& stop_;
  CollectorClientCounters& counters_;
  CollectorStream stream_;

  // Last sequence sent on this stream.
  uint64_t cursor_ = 0;
  // Batches and ranges that are not acknowledged.
  struct InFlight {
    uint64_t last_sequence;
    TimePoint sent;
  };
  std::deque<InFlight> in_flight_;
  // When the newest batch or range was, acknowledged or not.
  TimePoint sent_;
  TimePoint waiting_since_;
  TimePoint writing_since_;
  TimePoint next_status_;
  std::function<void()> on_working_;
  bool connected_ = false;
  bool working_ = false;
  bool progressed_ = false;
  v1::CloseReason close_reason_ = v1::CLOSE_REASON_UNSPECIFIED;
};

}  // namespace podtap::exporter
