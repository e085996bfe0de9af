// What the agent is told on its command line, in its environment and its file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "agent/enrichment/enricher.h"
#include "agent/exporter/stdout_sink.h"
#include "common/grpc_target.h"

namespace podtap {

struct AgentOptions {
  // At least one of these two is set.
  std::optional<HostPort> collector;
  bool to_stdout = false;

  exporter::LineFormat format = exporter::LineFormat::kJson;
  bool colour = false;
  std::string node_name;
  std::string cluster_name;
  uint32_t capture_bytes = 4096;
  uint32_t ring_bytes = 8 << 20;
  enrichment::ReporterFilter reporters = enrichment::ReporterFilter::kBoth;
  std::string netns_directory = "/run/netns";
  std::string log_level = "info";
};

// The options, checked, or the exit code to end with (what is wrong has been said).
std::variant<AgentOptions, int> ParseAgentOptions(int argc, const char* const* argv);

}  // namespace podtap
