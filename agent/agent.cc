#include "agent/agent.h"

#include <google/protobuf/util/json_util.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <random>
#include <utility>

#include "absl/strings/str_format.h"
#include "agent/capture/surroundings.h"
#include "agent/capture/tap_counters.h"
#include "agent/discovery/auto_source.h"
#include "agent/discovery/cri/cri_source.h"
#include "agent/discovery/netns_source.h"
#include "agent/ledger.h"
#include "agent/metrics.h"
#include "common/log.h"
#include "common/status.h"

namespace podtap {
namespace {

constexpr std::chrono::milliseconds kDeliveryTimeout{3'000};
constexpr std::chrono::milliseconds kPrintTimeout{1'000};
// The shard ticks many times a second, however busy it is.
constexpr int64_t kStuckNs = int64_t{15} * 1'000'000'000;

uint64_t RandomEpoch() {
  std::random_device random;
  uint64_t epoch = 0;
  while (epoch == 0) {
    epoch = static_cast<uint64_t>(random()) << 32 | random();
  }
  return epoch;
}

absl::StatusOr<std::unique_ptr<discovery::proc::ProcSource>> OpenProcSource(const Clock& clock) {
  PODTAP_RETURN_IF_ERROR(discovery::proc::CheckAccess());
  PODTAP_ASSIGN_OR_RETURN(std::unique_ptr<discovery::proc::EngineNames> engines,
                          discovery::proc::EngineNames::Start());
  return std::make_unique<discovery::proc::ProcSource>(clock, discovery::proc::ProcSourceOptions(),
                                                       std::move(engines));
}

absl::StatusOr<std::unique_ptr<discovery::PodSource>> StartPodSource(const AgentOptions& options,
                                                                     const Clock& clock) {
  if (options.discovery == Discovery::kProc) {
    if (!discovery::proc::SeesHostProcesses()) {
      PODTAP_LOG_WARN(
          "only the processes of this pid namespace are seen, which is not the host's "
          "(hostPID: true)");
    }
    return OpenProcSource(clock);
  }
  discovery::NetnsSource namespaces(options.netns_directory);
  if (options.discovery == Discovery::kNetns) {
    return std::make_unique<discovery::NetnsSource>(std::move(namespaces));
  }
  discovery::cri::CriSourceOptions cri{.socket_paths = discovery::cri::UsualSocketPaths()};
  if (!options.cri_socket_path.empty()) {
    cri.socket_paths = {options.cri_socket_path};
  }
  if (options.discovery == Discovery::kAuto) {
    cri.meanwhile = "pods are the network namespaces until one does";
  }
  PODTAP_ASSIGN_OR_RETURN(std::unique_ptr<discovery::cri::CriSource> runtime,
                          discovery::cri::CriSource::Start(std::move(cri)));
  if (options.discovery == Discovery::kCri) {
    return runtime;
  }
  return std::make_unique<discovery::AutoSource>(std::move(runtime), std::move(namespaces),
                                                 OpenProcSource(clock));
}

v1::TlsUse ToProto(const enrichment::TlsUse& use) {
  v1::TlsUse proto;
  proto.set_namespace_(use.pod->namespace_name);
  proto.set_pod_name(use.pod->pod_name);
  proto.set_reporter(static_cast<v1::Reporter>(use.reporter));
  proto.set_server_name(use.handshake.server_name);
  proto.set_protocol_version(std::string(tls::VersionName(use.handshake.version)));
  proto.mutable_offered_protocols()->Assign(use.handshake.offered_protocols.begin(),
                                            use.handshake.offered_protocols.end());
  proto.set_next_protocol(use.handshake.protocol);
  proto.set_connections(use.connections);
  return proto;
}

}  // namespace

Agent::Agent(AgentOptions options)
    : options_(std::move(options)),
      origin_{.node_name = options_.node_name,
              .cluster_name = options_.cluster_name,
              .epoch = RandomEpoch()} {}

Agent::~Agent() = default;

absl::Status Agent::Start() {
  const int64_t start_unix_ns = clock_.WallNs();
  if (options_.admin_listen) {
    PODTAP_ASSIGN_OR_RETURN(admin_, AdminServer::Listen(*options_.admin_listen));
  }
  if (options_.collector) {
    log_.emplace(exporter::EventLogOptions{.origin = origin_}, clock_);
  }
  if (options_.to_stdout) {
    // When nobody reads the lines any more, there is nothing left to do.
    stdout_sink_.emplace(
        exporter::StdoutSinkOptions{
            .origin = origin_, .format = options_.format, .colour = options_.colour},
        [this](int error) {
          if (error != EPIPE) {
            output_error_ = error;
          }
          ::kill(::getpid(), SIGTERM);
        });
  }
  PODTAP_RETURN_IF_ERROR(StartCapture());
  if (options_.collector) {
    if (options_.tls != nullptr) {
      options_.tls->Watch();
    }
    client_.emplace(exporter::CollectorClientOptions{.collector = *options_.collector,
                                                     .tls = options_.tls,
                                                     .origin = origin_,
                                                     .agent_version = PODTAP_VERSION,
                                                     .start_unix_ns = start_unix_ns},
                    *log_, clock_, [this](v1::AgentStatus& status) {
                      const Counters counters = ReadCounters();
                      FillStatus(status, counters);
                      FillPods(status, counters);
                    });
    client_->Start();
  }
  if (admin_) {
    admin_->Start(Pages());
    PODTAP_LOG_INFO("probes and metrics on {}", admin_->address().ToString());
  }
  return absl::OkStatus();
}

absl::Status Agent::StartCapture() {
  // Without CAP_NET_RAW the program would load, and each tap fail.
  PODTAP_RETURN_IF_ERROR(
      capture::CheckCapabilities(capture::LookAround(), options_.inside.enters_pods()));
  PODTAP_ASSIGN_OR_RETURN(program_,
                          capture::CaptureProgram::Load({.capture_bytes = options_.capture_bytes,
                                                         .rings = options_.rings,
                                                         .ring_bytes = options_.ring_bytes}));
  std::vector<enrichment::EventSink*> sinks;
  if (stdout_sink_) {
    sinks.push_back(&*stdout_sink_);
  }
  if (log_) {
    sinks.push_back(&*log_);
  }
  PODTAP_ASSIGN_OR_RETURN(
      shards_,
      ShardSet::Start({.enricher = {.reporters = options_.reporters,
                                    .traffic = options_.traffic,
                                    .hold = {.hold_ns = options_.metadata_hold_ns}}},
                      *program_, directory_, clock_, tls_, sinks, log_ ? &*log_ : nullptr));
  taps_.emplace(*program_, [this](capture::TapId tap) { shards_->TapClosed(tap); });
  PODTAP_ASSIGN_OR_RETURN(discovery::Rtnl rtnl, discovery::Rtnl::Open());
  manager_.emplace(*taps_, directory_, shards_->activity(), *program_, std::move(rtnl), clock_,
                   options_.inside);
  coverage_.emplace(directory_, shards_->activity(), *manager_, clock_);
  PODTAP_ASSIGN_OR_RETURN(std::unique_ptr<discovery::PodSource> source,
                          StartPodSource(options_, clock_));
  PODTAP_ASSIGN_OR_RETURN(watcher_,
                          discovery::Watcher::Start(std::move(source), options_.netns_directory,
                                                    TapHandlers(), {.selection = options_.pods}));
  return absl::OkStatus();
}

discovery::Watcher::Handlers Agent::TapHandlers() {
  return {.on_view = [this](const discovery::View& view) { manager_->OnView(view); },
          .on_link = [this](const discovery::Link& link,
                            int64_t since_ns) { manager_->OnLink(link, since_ns); },
          .on_owners = [this](const auto& taps) { manager_->OnOwners(taps); },
          .on_namespace_gone = [this](int32_t id) { manager_->OnNamespaceGone(id); }};
}

absl::Status Agent::Stop() {
  stopping_ = true;
  watcher_.reset();
  manager_->Stop();
  if (const Counters counters = ReadCounters(); counters.ok()) {
    coverage_->Freeze(*counters);
  }
  taps_->CloseAll();
  shards_->Stop();
  uint64_t unsent = 0;
  if (client_) {
    unsent = client_->Stop(kDeliveryTimeout);
  }
  if (stdout_sink_) {
    stdout_sink_->Stop(kPrintTimeout);
  }
  if (admin_) {
    admin_->Stop();
  }
  LogSummary(unsent);
  const int error = output_error_;
  return error == 0 ? absl::OkStatus() : ErrnoStatus(error, "write to standard output");
}

Agent::Counters Agent::ReadCounters() const {
  Counters counters = taps_->ReadAll();
  if (!counters.ok()) {
    PODTAP_LOG_WARN("{}", std::string(counters.status().message()));
  }
  return counters;
}

void Agent::FillStatus(v1::AgentStatus& status, const Counters& counters) const {
  const auto add = [&](LedgerStage stage) {
    return [&status, stage](const CounterValue& value) {
      *status.add_ledger() = ToLedgerEntry({stage, value});
    };
  };
  if (counters.ok()) {
    for (const CounterValue& value : capture::NameCounters(counters->totals)) {
      *status.add_ledger() = ToLedgerEntry({LedgerStage::kKernel, value});
    }
  }
  manager_->Visit(add(LedgerStage::kCapture));
  for (const LedgerLine& line : shards_->Ledger()) {
    *status.add_ledger() = ToLedgerEntry(line);
  }
  tls_.Visit(add(LedgerStage::kEnrichment));
  if (log_) {
    log_->counters().Visit(add(LedgerStage::kExporter));
  }
  if (client_) {
    client_->Visit(add(LedgerStage::kExporter));
  }
  if (stdout_sink_) {
    stdout_sink_->counters().Visit(add(LedgerStage::kExporter));
  }
  status.set_taps(static_cast<uint32_t>(taps_->open_count()));
  status.set_open_exchanges(shards_->open_exchanges());
}

void Agent::FillCoverage(v1::AgentStatus& status, const Counters& counters) const {
  if (counters.ok()) {
    coverage_->AddTo(status, *counters);
  }
}

void Agent::FillPods(v1::AgentStatus& status, const Counters& counters) const {
  for (const enrichment::TlsUse& use : tls_.List()) {
    *status.add_tls_uses() = ToProto(use);
  }
  FillCoverage(status, counters);
}

std::vector<AdminPage> Agent::Pages() const {
  return {{.path = "/healthz", .render = [this] { return Health(); }},
          {.path = "/readyz", .render = [this] { return Readiness(); }},
          {.path = "/coverage", .render = [this] { return Coverage(); }, .is_large = true},
          {.path = "/metrics", .render = [this] { return Metrics(); }, .is_large = true}};
}

AdminReply Agent::Health() const {
  // While the agent stops, its threads end one after the other.
  if (!stopping_ && clock_.MonotonicNs() - shards_->ledger_time_ns() > kStuckNs) {
    return {503, "the thread that reads packets is stuck\n"};
  }
  return {200, "ok\n"};
}

AdminReply Agent::Readiness() const {
  if (stopping_) {
    return {503, "the agent is stopping\n"};
  }
  if (!manager_->has_looked()) {
    return {503, "discovery has not looked for interfaces yet\n"};
  }
  return {200, "ok\n"};
}

AdminReply Agent::Coverage() const {
  v1::AgentStatus status;
  FillPods(status, ReadCounters());
  status.clear_ledger();
  status.set_taps(static_cast<uint32_t>(taps_->open_count()));
  std::string json;
  google::protobuf::util::JsonPrintOptions options;
  options.add_whitespace = true;
  if (!google::protobuf::util::MessageToJsonString(status, &json, options).ok()) {
    return {500, "the coverage can't be printed\n"};
  }
  return {.status = 200, .body = std::move(json), .content_type = "application/json"};
}

AdminReply Agent::Metrics() const {
  AgentSnapshot snapshot;
  const Counters counters = ReadCounters();
  FillStatus(snapshot.status, counters);
  FillCoverage(snapshot.status, counters);
  snapshot.attach_delay = manager_->attach_delay();
  if (client_) {
    snapshot.exporting = {.connected = client_->connected(),
                          .queue_bytes = log_->counters().queued_bytes,
                          .ack_latency = client_->ack_latency()};
  }
  return {200, AgentMetrics(snapshot)};
}

void Agent::LogSummary(uint64_t unsent) const {
  v1::AgentStatus status;
  FillStatus(status, ReadCounters());
  uint64_t events = 0;
  std::string losses;
  for (const v1::LedgerEntry& entry : status.ledger()) {
    if (entry.stage() == v1::LEDGER_STAGE_ENRICHMENT && entry.name() == "events") {
      events = entry.count();
    }
    if (entry.is_loss() && entry.count() > 0) {
      losses += absl::StrFormat(" %s=%d", entry.name(), entry.count());
    }
  }
  if (unsent > 0) {
    losses += absl::StrFormat(" unsent=%d", unsent);
  }
  PODTAP_LOG_INFO("stopped; {} events, lost:{}", events, losses.empty() ? " nothing" : losses);
}

}  // namespace podtap
