// Keeps a stream to the collector, and the event log flowing through it: reconnects with back-off,
// and resends from the first event that is not acknowledged.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "agent/exporter/collector_session.h"
#include "agent/exporter/event_log.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/counter.h"
#include "common/histogram.h"

namespace podtap::exporter {

// Works on a thread of its own. Start() and Stop() belong to one thread; counters can be visited
// from any.
class CollectorClient {
 public:
  // Log and clock are borrowed and outlive the client.
  CollectorClient(CollectorClientOptions options, EventLog& log, const Clock& clock,
                  StatusFiller fill_status);
  // Stops at once when Stop() was not called.
  ~CollectorClient();

  void Start();

  // Sends what is in the log, waits up to `timeout` for the acknowledgements, sends a last status
  // and ends the thread. The log takes no events any more. Returns how many of its events are not
  // known to be stored; they are lost unless the collector has them.
  uint64_t Stop(std::chrono::milliseconds timeout);

  // A stream stands that has shown that it works. From any thread.
  bool connected() const { return connected_; }
  HistogramValues ack_latency() const { return counters_.ack_latency.values(); }

  // Calls visit(CounterValue) for every counter; none counts events.
  template <typename Visitor>
  void Visit(Visitor&& visit) const {
    visit(CounterValue{.name = "streams_accepted", .count = counters_.streams_accepted});
    visit(CounterValue{.name = "streams_failed", .count = counters_.streams_failed});
    visit(CounterValue{
        .name = "batches_sent", .count = counters_.batches_sent, .bytes = counters_.bytes_sent});
    visit(CounterValue{.name = "batches_resent", .count = counters_.batches_resent});
    visit(CounterValue{.name = "dropped_ranges_sent", .count = counters_.ranges_sent});
    visit(CounterValue{.name = "statuses_sent", .count = counters_.statuses_sent});
  }

 private:
  void Run();
  // Say once per outage that there is one, again when TLS fails for another reason, and once that
  // it is over.
  void OnWorking();
  void OnFailed(const absl::Status& cause, const CollectorSession& session);
  // What TLS has to do with it; empty when nothing, or unknown.
  std::string Explain() const;
  // Whether a stop is wanted and nothing more can be done.
  bool IsDone() const;

  const CollectorClientOptions options_;
  EventLog& log_;
  const Clock& clock_;
  const StatusFiller fill_status_;
  StopGate stop_;
  CollectorClientCounters counters_;
  std::atomic<bool> connected_{false};
  std::thread thread_;

  // The thread's own.
  Backoff backoff_;
  bool outage_ = false;
  // The last thing that was said of TLS in this outage.
  std::string refusal_;
};

}  // namespace podtap::exporter
