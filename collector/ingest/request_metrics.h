// Requests, errors and durations by pod, for metrics.
//
// Flow: Observe() takes from a batch what counts, before the store changes the batch -> once the
// batch is committed, Record() adds the events that were newly stored -> Snapshot() copies the
// series for a scrape. So an event counts once, however often its agent sends it.
//
// The meaning of the labels is OpenTelemetry's, with names as in http.server.request.duration: an
// event of reporter "server" counts for its destination, one of reporter "client" for its source.
// Each is the pod whose interface was tapped.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "collector/store/event_store.h"
#include "common/clock.h"
#include "common/histogram.h"
#include "podtap/v1/ingest_service.pb.h"

namespace podtap::ingest {

// Those that OpenTelemetry gives for HTTP durations.
constexpr std::array<int64_t, 14> kRequestBoundsNs = {
    5'000'000,     10'000'000,    25'000'000,    50'000'000,    75'000'000,
    100'000'000,   250'000'000,   500'000'000,   750'000'000,   1'000'000'000,
    2'500'000'000, 5'000'000'000, 7'500'000'000, 10'000'000'000};

struct RequestMetricsLimits {
  // Of both metrics together. What goes beyond counts in an overflow series.
  size_t max_series = 10'000;
  // So that one pod can't use up all of them by odd methods and status codes.
  size_t max_series_per_pod = 500;
  // All series of a pod go when it has had no event for so long.
  int64_t idle_ns = int64_t{600} * 1'000'000'000;
};

// Whose request it is. The fields behind the pod's name follow from it, but for a pod whose details
// were not known at first: then it has series of both kinds.
struct PodLabels {
  std::string cluster_name;
  std::string node_name;
  std::string namespace_name;
  std::string pod_name;
  std::string workload_kind;
  std::string workload_name;
  std::string service_name;

  friend bool operator==(const PodLabels& a, const PodLabels& b) = default;
  template <typename Hash>
  friend Hash AbslHashValue(Hash hash, const PodLabels& labels) {
    return Hash::combine(std::move(hash), labels.pod_name, labels.namespace_name, labels.node_name,
                         labels.cluster_name, labels.workload_name);
  }

  // OpenTelemetry's name for the workload, as a metric's label: "k8s_deployment_name" and the like;
  // empty when the workload is not known, or is the pod itself.
  std::string_view WorkloadLabel() const;
};

// What is told of a request besides its pod. Every field has few values.
struct RequestLabels {
  bool is_client = false;
  // It stayed in the pod, which was both client and server.
  bool is_loopback = false;
  // 0 without a response.
  uint16_t status_code = 0;
  // Indexes of tables; see the functions below.
  uint8_t method = 0;
  uint8_t version = 0;
  uint8_t error = 0;

  // One number for all of it.
  uint32_t Packed() const {
    return static_cast<uint32_t>(is_client) | uint32_t{method} << 1 | uint32_t{version} << 5 |
           uint32_t{error} << 8 | uint32_t{status_code} << 12 |
           static_cast<uint32_t>(is_loopback) << 28;
  }
  static RequestLabels Unpack(uint32_t packed) {
    return {.is_client = (packed & 1) != 0,
            .is_loopback = (packed >> 28 & 1) != 0,
            .status_code = static_cast<uint16_t>(packed >> 12),
            .method = static_cast<uint8_t>(packed >> 1 & 0xf),
            .version = static_cast<uint8_t>(packed >> 5 & 0x7),
            .error = static_cast<uint8_t>(packed >> 8 & 0xf)};
  }

  // "lo" for what stayed in the pod, else empty.
  std::string_view InterfaceName() const { return is_loopback ? "lo" : ""; }
  // A method of RFC 9110 or 5789, else "_OTHER".
  std::string_view MethodName() const;
  // "1.0", "1.1", "2" or "3"; empty for anything else.
  std::string_view VersionName() const;
  // The status code when it is an error at this end (500 and up at a server, 400 and up at a
  // client), else how the exchange failed; empty when it did not.
  std::string ErrorType() const;
};

// What Record() needs of a batch.
struct BatchObservations {
  struct Event {
    // Index of `pods`.
    uint32_t pod;
    // RequestLabels::Packed().
    uint32_t labels;
    int64_t duration_ns;
  };
  std::vector<PodLabels> pods;
  // One for each event of the batch, in its order.
  std::vector<Event> events;
};

// `batch` went through PrepareBatch().
BatchObservations Observe(const store::Origin& origin, const v1::EventBatch& batch);

// Thread-safe.
class RequestMetrics {
 public:
  explicit RequestMetrics(const Clock* clock, RequestMetricsLimits limits = {})
      : clock_(clock), limits_(limits) {}

  // Adds the events from index `first` on.
  void Record(const BatchObservations& batch, size_t first);

  struct Series {
    // Null for the overflow series.
    std::shared_ptr<const PodLabels> pod;
    RequestLabels labels;
    HistogramValues durations;
  };
  struct State {
    // Overflow series last, when there was any overflow.
    std::vector<Series> series;
    uint64_t overflow_events = 0;
  };
  // A copy of all, without the pods that are idle.
  State Snapshot();

 private:
  struct Durations {
    std::array<uint64_t, kRequestBoundsNs.size() + 1> counts{};
    double sum_seconds = 0;

    void Add(int64_t duration_ns);
    HistogramValues Values() const;
  };
  struct Pod {
    std::shared_ptr<const PodLabels> labels;
    int64_t last_ns = 0;
    absl::flat_hash_map<uint32_t, Durations> series;
  };

  // The caller holds the lock in all of these.
  Durations& FindOrAdd(const PodLabels& labels, Pod*& pod, uint32_t packed, int64_t now_ns);
  bool HasRoom(int64_t now_ns);
  void Expire(int64_t now_ns);

  const Clock* const clock_;
  const RequestMetricsLimits limits_;
  std::mutex mutex_;
  absl::flat_hash_map<PodLabels, std::unique_ptr<Pod>> pods_;
  size_t series_ = 0;
  int64_t last_expiry_ns_ = 0;
  // By is_client.
  Durations overflow_[2];
  uint64_t overflow_events_ = 0;
};

}  // namespace podtap::ingest
