#include "collector/collector.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>

#include <chrono>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "collector/metrics.h"
#include "common/grpc_log.h"
#include "common/status.h"
#include "common/tls_credentials.h"

namespace podtap {
namespace {

constexpr int kMaxMessageBytes = 4 << 20;
constexpr auto kStopTime = std::chrono::milliseconds(1500);

void Configure(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.SetMaxSendMessageSize(kMaxMessageBytes);
  // A port that is taken is an error, not something to share.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  // Agents ping every 30 seconds, also when they have nothing to send.
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 10'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  // Finds peers that went away without a word.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
}

std::vector<query::AgentCoverage> CoverageOf(const ingest::IngestService& ingest) {
  std::vector<query::AgentCoverage> agents;
  for (ingest::AgentRegistry::Coverage& agent : ingest.registry().AllCoverage()) {
    agents.push_back({.node_name = std::move(agent.node_name),
                      .cluster_name = std::move(agent.cluster_name),
                      .connected = agent.connected,
                      .status = std::move(agent.status)});
  }
  return agents;
}

void AddHandshakes(v1::GetServerStatusResponse* response) {
  v1::LedgerEntry& entry = *response->add_ledger();
  entry.set_stage(v1::LEDGER_STAGE_COLLECTOR);
  entry.set_name("handshakes_failed");
  entry.set_count(FailedTlsHandshakes());
}

}  // namespace

absl::StatusOr<std::unique_ptr<Collector>> Collector::Start(const CollectorOptions& options,
                                                            const Clock* clock) {
  auto collector = std::unique_ptr<Collector>(new Collector);
  if (options.admin_listen) {
    PODTAP_ASSIGN_OR_RETURN(collector->admin_, AdminServer::Listen(*options.admin_listen));
  }
  PODTAP_ASSIGN_OR_RETURN(collector->store_,
                          store::sqlite::SqliteStore::Open(options.store, clock));
  collector->store_->SetWriteStatusListener(
      [health = &collector->health_](const absl::Status& status) {
        health->SetStoreTakesWrites(status.ok());
      });
  collector->ingest_ = std::make_unique<ingest::IngestService>(collector->store_.get(), clock);
  collector->query_ = std::make_unique<query::QueryService>(
      options.query, collector->store_.get(), clock,
      [ingest = collector->ingest_.get()](v1::GetServerStatusResponse* response) {
        ingest->AddStatus(response);
        AddHandshakes(response);
      },
      [ingest = collector->ingest_.get()] { return CoverageOf(*ingest); });
  PODTAP_RETURN_IF_ERROR(collector->Listen(options));
  if (options.tls != nullptr) {
    options.tls->Watch();
  }
  if (collector->admin_) {
    collector->admin_->Start(collector->Pages());
  }
  return collector;
}

absl::Status Collector::Listen(const CollectorOptions& options) {
  // Naming it links the plugin, which registers itself.
  static std::once_flag reflection;
  std::call_once(reflection, grpc::reflection::InitProtoReflectionServerBuilderPlugin);

  grpc::ServerBuilder builder;
  Configure(builder);
  int port = 0;
  credentials_ = ServerCredentialsOf(options.tls);
  builder.AddListeningPort(options.listen.ToString(), credentials_, &port);
  builder.RegisterService(&health_);
  builder.RegisterService(ingest_.get());
  builder.RegisterService(query_.get());
  server_ = builder.BuildAndStart();
  if (server_ == nullptr || port == 0) {
    return absl::UnavailableError(absl::StrFormat(
        "listen on %s: the address is in use or not of this machine", options.listen.ToString()));
  }
  address_ = options.listen;
  address_.port = static_cast<uint16_t>(port);
  return absl::OkStatus();
}

std::vector<AdminPage> Collector::Pages() const {
  return {{.path = "/healthz",
           .render =
               [] {
                 return AdminReply{200, "ok\n"};
               }},
          {.path = "/readyz", .render = [this] { return Readiness(); }},
          {.path = "/metrics",
           .render =
               [this] {
                 return AdminReply{200, CollectorMetrics(*store_, *ingest_, *query_)};
               },
           .is_large = true}};
}

AdminReply Collector::Readiness() const {
  if (stopping_) {
    return {503, "the collector is stopping\n"};
  }
  if (const absl::Status status = store_->WriteStatus(); !status.ok()) {
    return {503, absl::StrFormat("the store takes no writes: %s\n", status.message())};
  }
  return {200, "ok\n"};
}

Collector::~Collector() { Stop(); }

void Collector::Stop() {
  if (server_ == nullptr) {
    return;
  }
  stopping_ = true;
  health_.Stop();
  ingest_->Stop();
  query_->Stop();
  server_->Shutdown(std::chrono::system_clock::now() + kStopTime);
  server_->Wait();
  server_.reset();
  admin_.reset();
  // Stores what is still queued.
  store_.reset();
}

}  // namespace podtap
