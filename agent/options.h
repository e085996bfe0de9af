// What the agent is told on its command line, in its environment and its file.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "agent/discovery/selection.h"
#include "agent/enrichment/enricher.h"
#include "agent/exporter/stdout_sink.h"
#include "agent/pod_netns.h"
#include "common/grpc_target.h"
#include "common/tls_files.h"

namespace podtap {

// Where pods come from.
enum class Discovery : uint8_t {
  // The runtime where one answers, else both of the others.
  kAuto,
  kCri,
  kNetns,
  kProc,
};

struct AgentOptions {
  // Look at what the agent would find, and end.
  bool doctor = false;

  // At least one of these two is set, but for the doctor.
  std::optional<HostPort> collector;
  bool to_stdout = false;

  // Of the collector; null for plain text. Shared with the exporter.
  std::shared_ptr<TlsFiles> tls;
  // Where probes and metrics are answered; nowhere when absent.
  std::optional<HostPort> admin_listen;
  exporter::LineFormat format = exporter::LineFormat::kJson;
  bool colour = false;
  std::string node_name;
  std::string cluster_name;
  uint32_t capture_bytes = 4096;
  uint32_t rings = 1;
  uint32_t ring_bytes = 8 << 20;
  enrichment::ReporterFilter reporters = enrichment::ReporterFilter::kBoth;
  // Which pods are watched, and which of their exchanges are reported.
  discovery::PodSelection pods;
  enrichment::TrafficSelection traffic;
  Discovery discovery = Discovery::kAuto;
  InsidePolicy inside;
  // Socket of the container runtime; the usual ones are tried when empty.
  std::string cri_socket_path;
  // How long an exchange waits for the name of an end.
  int64_t metadata_hold_ns = 0;
  std::string netns_directory = "/run/netns";
  std::string log_level = "info";
};

// The options, checked, or the exit code to end with (what is wrong has been said).
std::variant<AgentOptions, int> ParseAgentOptions(int argc, const char* const* argv);

}  // namespace podtap
