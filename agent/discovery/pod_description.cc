#include "agent/discovery/pod_description.h"

#include <string>
#include <utility>

#include "agent/discovery/workload.h"
#include "common/secret_name.h"
#include "common/text.h"

namespace podtap::discovery {
namespace {

using Texts = std::map<std::string, std::string>;

std::string SafeOrEmpty(const std::string& text, size_t max_bytes) {
  if (text.size() > max_bytes) {
    return {};
  }
  std::string safe = SafeText(text);
  return safe.size() <= max_bytes ? safe : std::string();
}

std::string Find(const Texts& texts, const char* name) {
  const auto found = texts.find(name);
  return found == texts.end() ? "" : SafeOrEmpty(found->second, kMaxIdentityBytes);
}

// The order of OpenTelemetry's semantic conventions for Kubernetes ("How service.name should be
// calculated"): annotation, labels, owner from the top down, pod. Its last resort, the container's
// name, is for pods without a name. Empty when the owner is not known: the pod's name would make a
// service of each pod of one.
std::string ServiceNameOf(const PodIdentity& pod) {
  if (pod.pod_uid.empty()) {
    return {};
  }
  std::string name = Find(pod.annotations, "resource.opentelemetry.io/service.name");
  for (const char* label : {"app.kubernetes.io/instance", "app.kubernetes.io/name"}) {
    if (name.empty()) {
      name = Find(pod.labels, label);
    }
  }
  return name.empty() ? pod.workload.name : name;
}

// In the order of their names, as long as they fit.
Texts SafeLabels(const Texts& labels) {
  Texts safe;
  size_t bytes = 0;
  for (const auto& [name, value] : labels) {
    // Before any work on it, which for one without bounds would be without bounds.
    if (name.size() + value.size() > kMaxLabelBytes || name.empty() || SmellsOfSecret(name)) {
      continue;
    }
    std::string safe_name = SafeText(name);
    std::string safe_value = SafeText(value);
    const size_t size = safe_name.size() + safe_value.size();
    if (size > kMaxLabelBytes || bytes + size > kMaxAllLabelBytes || safe.size() == kMaxLabels) {
      continue;
    }
    if (safe.emplace(std::move(safe_name), std::move(safe_value)).second) {
      bytes += size;
    }
  }
  return safe;
}

}  // namespace

uint64_t DescribePod(PodIdentity& pod) {
  pod.workload = WorkloadOf(pod);
  pod.workload.name = SafeOrEmpty(pod.workload.name, kMaxIdentityBytes);
  if (pod.workload.name.empty()) {
    pod.workload = {};
  }
  pod.service_name = ServiceNameOf(pod);
  pod.annotations.clear();
  pod.pod_uid = SafeOrEmpty(pod.pod_uid, kMaxIdentityBytes);
  for (Container& container : pod.containers) {
    container.name = SafeOrEmpty(container.name, kMaxIdentityBytes);
    container.image = SafeOrEmpty(container.image, kMaxImageBytes);
  }
  Texts safe = SafeLabels(pod.labels);
  const uint64_t left_out = pod.labels.size() - safe.size();
  pod.labels = std::move(safe);
  return left_out;
}

}  // namespace podtap::discovery
