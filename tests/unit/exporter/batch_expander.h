// EventBatch -> HttpEvents, written from the comments of the protocol alone, so that it checks what
// the batch builder writes.
#pragma once

#include <string>
#include <vector>

#include "podtap/v1/ingest_service.pb.h"

namespace podtap::exporter {

// `node_name` and `cluster_name` come from the hello. Fails the test on an index out of range.
std::vector<v1::HttpEvent> ExpandBatch(const v1::EventBatch& batch, const std::string& node_name,
                                       const std::string& cluster_name);

}  // namespace podtap::exporter
