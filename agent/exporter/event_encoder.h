// An event as podtap.v1.HttpEvent: what `--stdout` prints, and the reference for what a batch
// means.
#pragma once

#include <cstdint>
#include <string>

#include "agent/enrichment/event.h"
#include "podtap/v1/event.pb.h"

namespace podtap::exporter {

// Who reports; the same for all events of one agent run.
struct EventOrigin {
  std::string node_name;
  std::string cluster_name;
  // Random per agent start, never 0.
  uint64_t epoch = 0;
};

// Fills `out`, which is cleared first.
void EncodeEvent(const enrichment::Event& event, const EventOrigin& origin, uint64_t sequence,
                 v1::HttpEvent& out);

// Everything of an endpoint but its port. Pods and the node that are known here are on this node.
void EncodeEndpoint(const enrichment::Endpoint& endpoint, const std::string& node_name,
                    v1::Endpoint& out);

}  // namespace podtap::exporter
