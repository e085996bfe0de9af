// GetCoverage: the pods that agents told of, filtered and in pages.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "podtap/v1/query_service.pb.h"

namespace podtap::query {

// What one agent told last.
struct AgentCoverage {
  std::string node_name;
  std::string cluster_name;
  bool connected = false;
  // Never null; its pods are sorted by namespace, name and UID.
  std::shared_ptr<const v1::AgentStatus> status;
};

// By node name.
using CoverageSource = std::function<std::vector<AgentCoverage>()>;

// kInvalidArgument names the field, e.g. "pod[1]: ...".
absl::Status ListCoverage(const std::vector<AgentCoverage>& agents,
                          const v1::GetCoverageRequest& request, v1::GetCoverageResponse* response);

}  // namespace podtap::query
