// The agent put together: builds the stages in flow order, and stops them so that what was seen is
// handed on before the process ends.
//
// Threads: main (waits for a signal), discovery, those that ask container runtime and engines, tap
// closing, the one that checks taps inside pods, the shards, the collector client, the printer of
// --stdout, those of the admin port. They meet at TapDirectory, TlsInventory, EventLog and the
// ledger's copies.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "agent/capture/capture_program.h"
#include "agent/capture/tap_set.h"
#include "agent/coverage_report.h"
#include "agent/discovery/watcher.h"
#include "agent/enrichment/tap_directory.h"
#include "agent/enrichment/tls_inventory.h"
#include "agent/exporter/collector_client.h"
#include "agent/exporter/event_log.h"
#include "agent/exporter/stdout_sink.h"
#include "agent/options.h"
#include "agent/shard_set.h"
#include "agent/tap_manager.h"
#include "common/admin_server.h"
#include "common/clock.h"

namespace podtap {

// Start(), then Stop(); from one thread.
class Agent {
 public:
  explicit Agent(AgentOptions options);
  ~Agent();

  // Fails when the kernel side can't be loaded, the kernel can't be asked for interfaces or the
  // admin port is taken; an unreachable collector is not a failure.
  absl::Status Start();
  // Closes the taps, ends what is open, delivers what is queued (bounded in time), and logs what
  // became of it. The status is an error when standard output ended it, for another reason than
  // that nobody reads any more.
  absl::Status Stop();

 private:
  absl::Status StartCapture();
  discovery::Watcher::Handlers TapHandlers();
  // As just read from the kernel. When that failed, which is logged, what is made of them is left
  // out.
  using Counters = absl::StatusOr<capture::AllCounters>;
  Counters ReadCounters() const;
  // Counts, but for those of pods.
  void FillStatus(v1::AgentStatus& status, const Counters& counters) const;
  void FillCoverage(v1::AgentStatus& status, const Counters& counters) const;
  // Coverage, and whom pods speak TLS with.
  void FillPods(v1::AgentStatus& status, const Counters& counters) const;
  // What the admin port answers.
  std::vector<AdminPage> Pages() const;
  AdminReply Health() const;
  AdminReply Readiness() const;
  AdminReply Coverage() const;
  AdminReply Metrics() const;
  void LogSummary(uint64_t unsent) const;

  const AgentOptions options_;
  const SystemClock clock_;
  const exporter::EventOrigin origin_;

  enrichment::TapDirectory directory_;
  mutable enrichment::TlsInventory tls_{directory_};
  std::optional<capture::CaptureProgram> program_;
  std::optional<exporter::EventLog> log_;
  // errno of a failed write to standard output.
  std::atomic<int> output_error_ = 0;
  std::optional<exporter::StdoutSink> stdout_sink_;
  std::unique_ptr<ShardSet> shards_;
  std::optional<capture::TapSet> taps_;
  std::optional<TapManager> manager_;
  mutable std::optional<CoverageReport> coverage_;
  std::unique_ptr<discovery::Watcher> watcher_;
  std::optional<exporter::CollectorClient> client_;
  std::atomic<bool> stopping_{false};
  // Last: its pages ask all of the above.
  std::unique_ptr<AdminServer> admin_;
};

}  // namespace podtap
