#include "collector/metrics.h"

#include <array>
#include <string_view>

#include "common/counter.h"
#include "common/grpc_log.h"
#include "common/metrics_page.h"
#include "common/own_metrics.h"

namespace podtap {
namespace {

constexpr double kNsPerSecond = 1e9;

// What becomes of events, by lines of the ledger.
struct EventResult {
  std::string_view line;
  std::string_view result;
};
constexpr std::array<EventResult, 4> kEventResults = {{{"events_stored", "stored"},
                                                       {"events_duplicate", "duplicate"},
                                                       {"events_rejected", "rejected"},
                                                       {"events_not_stored", "not_stored"}}};

void AddIngest(MetricsPage& page, const ingest::IngestService& ingest) {
  ingest.ledger().Visit([&](std::string_view name, uint64_t count, bool is_loss) {
    AddLedgerLine(page, "LEDGER_STAGE_COLLECTOR",
                  CounterValue{.name = name, .count = count, .is_loss = is_loss});
    for (const EventResult& result : kEventResults) {
      if (result.line == name) {
        page.Counter("podtap_events_total", "Events by what became of them.",
                     {{"result", result.result}}, static_cast<double>(count));
      }
    }
    if (name == "events_duplicate") {
      page.Counter("podtap_collector_duplicate_events_total",
                   "Events that were sent again although stored.", {}, static_cast<double>(count));
    }
  });
  AddLedgerLine(page, "LEDGER_STAGE_COLLECTOR",
                CounterValue{.name = "handshakes_failed", .count = FailedTlsHandshakes()});
  int connected = 0;
  for (const ingest::AgentRegistry::Totals& agent : ingest.registry().AllTotals()) {
    connected += agent.connected ? 1 : 0;
    page.Counter("podtap_collector_ingest_events_total", "Events stored, by the agent's node.",
                 {{"agent", agent.node_name}}, static_cast<double>(agent.events_stored));
  }
  page.Gauge("podtap_collector_agents_connected", "Agents with a stream.", {}, connected);
}

void AddRequests(MetricsPage& page, ingest::RequestMetrics& requests) {
  const ingest::RequestMetrics::State state = requests.Snapshot();
  for (const ingest::RequestMetrics::Series& series : state.series) {
    const ingest::RequestLabels& request = series.labels;
    const char* const name = request.is_client ? "http_client_request_duration_seconds"
                                               : "http_server_request_duration_seconds";
    const char* const help = request.is_client ? "Duration of HTTP requests, seen at the client."
                                               : "Duration of HTTP requests, seen at the server.";
    if (!series.pod) {
      page.Histogram(name, help, {{"otel_metric_overflow", "true"}}, series.durations);
      continue;
    }
    const std::string status =
        request.status_code == 0 ? std::string() : std::to_string(request.status_code);
    const std::string error = request.ErrorType();
    MetricLabels labels = {{"http_request_method", request.MethodName()},
                           {"http_response_status_code", status},
                           {"error_type", error},
                           {"network_protocol_version", request.VersionName()},
                           {"network_interface_name", request.InterfaceName()},
                           {"k8s_namespace_name", series.pod->namespace_name},
                           {"k8s_pod_name", series.pod->pod_name},
                           {"k8s_node_name", series.pod->node_name},
                           {"k8s_cluster_name", series.pod->cluster_name},
                           {"service_name", series.pod->service_name}};
    if (const std::string_view label = series.pod->WorkloadLabel(); !label.empty()) {
      labels.emplace_back(label, series.pod->workload_name);
    }
    page.Histogram(name, help, labels, series.durations);
  }
  page.Gauge("podtap_collector_request_series", "Series of the two HTTP metrics.", {},
             static_cast<double>(state.series.size()));
  page.Counter("podtap_collector_request_overflow_events_total",
               "Events that found no room for a series of their own.", {},
               static_cast<double>(state.overflow_events));
}

void AddStore(MetricsPage& page, const store::sqlite::SqliteStore& store) {
  const store::StoreState state = store.State();
  page.Gauge("podtap_store_writable", "1 while the store takes writes.", {},
             store.WriteStatus().ok() ? 1 : 0);
  page.Gauge("podtap_store_bytes", "Room that the store takes on the disk.", {},
             static_cast<double>(state.bytes));
  page.Gauge("podtap_store_events", "Events kept.", {}, static_cast<double>(state.events));
  if (state.oldest_start_ns) {
    page.Gauge("podtap_store_oldest_event_timestamp_seconds",
               "Start of the oldest exchange kept, Unix time.", {},
               static_cast<double>(*state.oldest_start_ns) / kNsPerSecond);
  }
  page.Histogram("podtap_store_write_seconds", "Time to store one group of writes.", {},
                 store.write_durations());
}

}  // namespace

std::string CollectorMetrics(const store::sqlite::SqliteStore& store, ingest::IngestService& ingest,
                             const query::QueryService& query) {
  MetricsPage page;
  AddIngest(page, ingest);
  AddRequests(page, ingest.requests());
  AddStore(page, store);
  constexpr char kQueryHelp[] = "Time that calls of the query API took.";
  page.Histogram("podtap_query_duration_seconds", kQueryHelp, {{"method", "ListEvents"}},
                 query.list_durations());
  page.Histogram("podtap_query_duration_seconds", kQueryHelp, {{"method", "GetServerStatus"}},
                 query.status_durations());
  page.Histogram("podtap_query_duration_seconds", kQueryHelp, {{"method", "GetCoverage"}},
                 query.coverage_durations());
  AddProcess(page);
  return page.Text();
}

}  // namespace podtap
