#include "collector/ingest/request_metrics.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace podtap::ingest {
namespace {

constexpr std::array<std::string_view, 10> kMethods = {
    "_OTHER", "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"};
constexpr std::array<std::string_view, 5> kVersions = {"", "1.0", "1.1", "2", "3"};

// How an exchange failed. Of kStatus the status code is the name.
enum Error : uint8_t {
  kNone,
  kStatus,
  kNoResponse,
  kConnectionReset,
  kConnectionClosed,
  kTimeout,
  kMalformed,
  kOther
};
constexpr std::array<std::string_view, 8> kErrorNames = {
    "",        "",          "no_response", "connection_reset", "connection_closed",
    "timeout", "malformed", "_OTHER"};

struct WorkloadKind {
  std::string_view kind;
  std::string_view label;
};
constexpr std::array<WorkloadKind, 5> kWorkloadKinds = {{{"Deployment", "k8s_deployment_name"},
                                                         {"StatefulSet", "k8s_statefulset_name"},
                                                         {"DaemonSet", "k8s_daemonset_name"},
                                                         {"CronJob", "k8s_cronjob_name"},
                                                         {"Job", "k8s_job_name"}}};

constexpr int64_t kExpiryPeriodNs = 1'000'000'000;

// Index of `text`; 0, which stands for all others, when it is not in the table.
template <size_t kSize>
uint8_t IndexOf(const std::array<std::string_view, kSize>& table, std::string_view text) {
  const auto found = std::find(table.begin() + 1, table.end(), text);
  return found == table.end() ? 0 : static_cast<uint8_t>(found - table.begin());
}

Error ErrorOf(v1::Outcome outcome) {
  switch (outcome) {
    case v1::OUTCOME_COMPLETE:
    case v1::OUTCOME_UPGRADED:
    case v1::OUTCOME_TUNNEL:
      return kNone;
    case v1::OUTCOME_NO_RESPONSE:
      return kNoResponse;
    case v1::OUTCOME_CONNECTION_RESET:
      return kConnectionReset;
    case v1::OUTCOME_CONNECTION_CLOSED:
      return kConnectionClosed;
    case v1::OUTCOME_TIMEOUT:
      return kTimeout;
    case v1::OUTCOME_MALFORMED:
      return kMalformed;
    default:
      // A newer agent's.
      return kOther;
  }
}

RequestLabels LabelsOf(const v1::BatchEvent& event, const v1::EventBatch& batch) {
  RequestLabels labels;
  labels.is_client = event.reporter() == v1::REPORTER_CLIENT;
  labels.is_loopback = event.capture_mode() == v1::CAPTURE_MODE_POD_LOOPBACK;
  labels.method = IndexOf(kMethods, batch.strings(static_cast<int>(event.method_string())));
  labels.version =
      IndexOf(kVersions, batch.strings(static_cast<int>(event.protocol_version_string())));
  labels.status_code = event.has_response() ? static_cast<uint16_t>(event.status_code()) : 0;
  const bool is_error = labels.status_code >= (labels.is_client ? 400 : 500);
  labels.error = is_error ? kStatus : ErrorOf(event.outcome());
  return labels;
}

}  // namespace

std::string_view PodLabels::WorkloadLabel() const {
  for (const WorkloadKind& known : kWorkloadKinds) {
    if (known.kind == workload_kind) {
      return known.label;
    }
  }
  return {};
}

std::string_view RequestLabels::MethodName() const { return kMethods[method]; }

std::string_view RequestLabels::VersionName() const { return kVersions[version]; }

std::string RequestLabels::ErrorType() const {
  return error == kStatus ? std::to_string(status_code) : std::string(kErrorNames[error]);
}

BatchObservations Observe(const store::Origin& origin, const v1::EventBatch& batch) {
  BatchObservations observed;
  observed.events.reserve(static_cast<size_t>(batch.events_size()));
  // Index of `pods` by endpoint.
  std::vector<std::optional<uint32_t>> known(static_cast<size_t>(batch.endpoints_size()));
  for (const v1::BatchEvent& event : batch.events()) {
    const RequestLabels labels = LabelsOf(event, batch);
    const uint32_t endpoint =
        labels.is_client ? event.source_endpoint() : event.destination_endpoint();
    std::optional<uint32_t>& pod = known[endpoint];
    if (!pod) {
      pod = static_cast<uint32_t>(observed.pods.size());
      const v1::Endpoint& named = batch.endpoints(static_cast<int>(endpoint));
      observed.pods.push_back({.cluster_name = origin.cluster_name,
                               .node_name = origin.node_name,
                               .namespace_name = named.namespace_(),
                               .pod_name = named.pod_name(),
                               .workload_kind = named.workload().kind(),
                               .workload_name = named.workload().name(),
                               .service_name = named.service_name()});
    }
    observed.events.push_back({*pod, labels.Packed(), static_cast<int64_t>(event.end_ns())});
  }
  return observed;
}

void RequestMetrics::Durations::Add(int64_t duration_ns) {
  ++counts[BucketOf(kRequestBoundsNs, duration_ns)];
  sum_seconds += static_cast<double>(duration_ns) / 1e9;
}

HistogramValues RequestMetrics::Durations::Values() const {
  return {kRequestBoundsNs, {counts.begin(), counts.end()}, sum_seconds};
}

void RequestMetrics::Record(const BatchObservations& batch, size_t first) {
  const int64_t now_ns = clock_->MonotonicNs();
  const std::lock_guard lock(mutex_);
  std::vector<Pod*> pods(batch.pods.size(), nullptr);
  for (size_t i = first; i < batch.events.size(); ++i) {
    const BatchObservations::Event& event = batch.events[i];
    FindOrAdd(batch.pods[event.pod], pods[event.pod], event.labels, now_ns).Add(event.duration_ns);
  }
}

RequestMetrics::Durations& RequestMetrics::FindOrAdd(const PodLabels& labels, Pod*& pod,
                                                     uint32_t packed, int64_t now_ns) {
  if (pod == nullptr) {
    if (const auto found = pods_.find(labels); found != pods_.end()) {
      pod = found->second.get();
      pod->last_ns = now_ns;
    }
  }
  if (pod != nullptr) {
    if (const auto found = pod->series.find(packed); found != pod->series.end()) {
      return found->second;
    }
  }
  if ((pod != nullptr && pod->series.size() >= limits_.max_series_per_pod) || !HasRoom(now_ns)) {
    ++overflow_events_;
    return overflow_[RequestLabels::Unpack(packed).is_client ? 1 : 0];
  }
  if (pod == nullptr) {
    std::unique_ptr<Pod>& added = pods_[labels];
    added = std::make_unique<Pod>();
    added->labels = std::make_shared<const PodLabels>(labels);
    added->last_ns = now_ns;
    pod = added.get();
  }
  ++series_;
  return pod->series[packed];
}

bool RequestMetrics::HasRoom(int64_t now_ns) {
  if (series_ >= limits_.max_series && now_ns - last_expiry_ns_ >= kExpiryPeriodNs) {
    Expire(now_ns);
  }
  return series_ < limits_.max_series;
}

void RequestMetrics::Expire(int64_t now_ns) {
  last_expiry_ns_ = now_ns;
  absl::erase_if(pods_, [&](const auto& entry) {
    const bool is_idle = now_ns - entry.second->last_ns > limits_.idle_ns;
    series_ -= is_idle ? entry.second->series.size() : 0;
    return is_idle;
  });
}

RequestMetrics::State RequestMetrics::Snapshot() {
  const int64_t now_ns = clock_->MonotonicNs();
  State state;
  const std::lock_guard lock(mutex_);
  Expire(now_ns);
  state.series.reserve(series_ + 2);
  for (const auto& [labels, pod] : pods_) {
    for (const auto& [packed, durations] : pod->series) {
      state.series.push_back({pod->labels, RequestLabels::Unpack(packed), durations.Values()});
    }
  }
  state.overflow_events = overflow_events_;
  for (const bool is_client : {false, true}) {
    HistogramValues values = overflow_[is_client ? 1 : 0].Values();
    if (std::any_of(values.counts.begin(), values.counts.end(), [](uint64_t n) { return n > 0; })) {
      state.series.push_back({nullptr, {.is_client = is_client}, std::move(values)});
    }
  }
  return state;
}

}  // namespace podtap::ingest
