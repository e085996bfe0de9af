// The agent's flags that say which pods and which exchanges are wanted.
#pragma once

#include <cstdint>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "agent/discovery/selection.h"
#include "agent/enrichment/enricher.h"

namespace podtap {

// What the flags hold before they are checked.
struct SelectionFlags {
  discovery::PodPatterns include;
  discovery::PodPatterns exclude;
  std::vector<uint16_t> include_ports;
  std::vector<uint16_t> exclude_ports;
  bool exclude_probes = false;
};

void AddSelectionFlags(CLI::App& app, SelectionFlags& flags);

// kInvalidArgument is one line that begins with the flag at fault.
absl::Status CheckSelection(const SelectionFlags& flags, discovery::PodSelection& pods,
                            enrichment::TrafficSelection& traffic);

}  // namespace podtap
