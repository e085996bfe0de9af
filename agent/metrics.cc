#include "agent/metrics.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "absl/strings/ascii.h"
#include "common/counter.h"
#include "common/metrics_page.h"
#include "common/own_metrics.h"

namespace podtap {
namespace {

// Lines of the kernel's stage that are not packets.
constexpr std::array<std::string_view, 4> kNotPackets = {"records", "runs_lost", "tls_connections",
                                                         "connections"};

// What becomes of events, by the exporter's lines.
struct EventResult {
  std::string_view line;
  std::string_view result;
};
constexpr std::array<EventResult, 4> kEventResults = {{{"events_acked", "acked"},
                                                       {"events_dropped", "dropped"},
                                                       {"lines_printed", "printed"},
                                                       {"lines_dropped", "not_printed"}}};

void AddPackets(MetricsPage& page, const v1::LedgerEntry& entry) {
  if (std::find(kNotPackets.begin(), kNotPackets.end(), entry.name()) == kNotPackets.end()) {
    page.Counter("podtap_agent_packets_total", "Packets that the taps saw, by what became of them.",
                 {{"result", entry.name()}}, static_cast<double>(entry.count()));
  }
}

void AddEvents(MetricsPage& page, const v1::LedgerEntry& entry) {
  for (const EventResult& result : kEventResults) {
    if (result.line == entry.name()) {
      page.Counter("podtap_events_total", "Events by what became of them.",
                   {{"result", result.result}}, static_cast<double>(entry.count()));
    }
  }
}

// "COVERAGE_STATE_TLS_ONLY" without its prefix -> "tls_only".
std::string WithoutPrefix(const std::string& name, std::string_view prefix) {
  return absl::AsciiStrToLower(name.substr(std::min(prefix.size(), name.size())));
}

void AddPod(MetricsPage& page, const v1::PodCoverage& pod) {
  const auto labels = [&](MetricLabels more) {
    more.insert(more.begin(), {{"k8s_namespace_name", pod.namespace_()},
                               {"k8s_pod_name", pod.pod_name()},
                               {"k8s_pod_uid", pod.pod_uid()}});
    return more;
  };
  page.Gauge(
      "podtap_pod_coverage", "1 for the state that says how much is seen of the pod.",
      labels({{"state", WithoutPrefix(v1::CoverageState_Name(pod.state()), "COVERAGE_STATE_")}}),
      1);
  if (pod.interfaces().empty()) {
    return;
  }
  page.Counter("podtap_pod_exchanges_total", "Exchanges that ended on the pod's taps.", labels({}),
               static_cast<double>(pod.exchanges()));
  page.Counter("podtap_pod_lost_packets_total", "Packets lost to the pod's taps.", labels({}),
               static_cast<double>(pod.lost_packets()));
  for (const v1::ClassTraffic& traffic : pod.traffic()) {
    const std::string of =
        WithoutPrefix(v1::TrafficClass_Name(traffic.traffic_class()), "TRAFFIC_CLASS_");
    const auto add = [&](std::string_view direction, uint64_t packets, uint64_t bytes) {
      const MetricLabels all = labels({{"class", of}, {"direction", direction}});
      page.Counter("podtap_pod_payload_packets_total",
                   "Packets of TCP with payload on the pod's taps, by what they are of.", all,
                   static_cast<double>(packets));
      page.Counter("podtap_pod_payload_bytes_total",
                   "Payload bytes of TCP on the pod's taps, by what they are of.", all,
                   static_cast<double>(bytes));
    };
    add("sent", traffic.packets_sent(), traffic.bytes_sent());
    add("received", traffic.packets_received(), traffic.bytes_received());
  }
}

}  // namespace

std::string AgentMetrics(const AgentSnapshot& snapshot) {
  MetricsPage page;
  for (const v1::LedgerEntry& entry : snapshot.status.ledger()) {
    AddLedgerLine(page, v1::LedgerStage_Name(entry.stage()),
                  CounterValue{.name = entry.name(),
                               .count = entry.count(),
                               .bytes = entry.bytes(),
                               .is_loss = entry.is_loss()});
    if (entry.stage() == v1::LEDGER_STAGE_KERNEL) {
      AddPackets(page, entry);
    } else if (entry.stage() == v1::LEDGER_STAGE_EXPORTER) {
      AddEvents(page, entry);
    }
  }
  for (const v1::PodCoverage& pod : snapshot.status.pods()) {
    AddPod(page, pod);
  }
  page.Gauge("podtap_agent_interfaces_attached", "Interfaces tapped.", {}, snapshot.status.taps());
  page.Histogram("podtap_agent_attach_delay_seconds",
                 "Time from an interface's appearance until its tap was in place, at the longest.",
                 {}, snapshot.attach_delay);
  page.Gauge("podtap_agent_open_exchanges", "Exchanges begun and not yet ended.", {},
             static_cast<double>(snapshot.status.open_exchanges()));
  if (snapshot.exporting) {
    page.Gauge("podtap_agent_stream_connected", "1 while a stream to the collector works.", {},
               snapshot.exporting->connected ? 1 : 0);
    page.Gauge("podtap_agent_queue_bytes", "Bytes of events that wait for the collector.", {},
               static_cast<double>(snapshot.exporting->queue_bytes));
    page.Histogram("podtap_ack_latency_seconds",
                   "Time from sending a batch until the collector has stored it.", {},
                   snapshot.exporting->ack_latency);
  }
  AddProcess(page);
  return page.Text();
}

}  // namespace podtap
