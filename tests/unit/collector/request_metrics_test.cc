#include "collector/ingest/request_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/unit/collector/support.h"

namespace podtap::ingest {
namespace {

// The one event of a batch, changed by `change`.
template <typename Change>
v1::EventBatch OneEvent(Change change) {
  v1::EventBatch batch = MakeBatch(1, 1, 1);
  change(batch, *batch.mutable_events(0));
  return batch;
}

// Batches of `count` events, each of a status code of its own from `first_code` on.
v1::EventBatch WithCodes(uint32_t first_code, int count) {
  v1::EventBatch batch = MakeBatch(1, 1, count);
  for (int i = 0; i < count; ++i) {
    batch.mutable_events(i)->set_status_code(first_code + static_cast<uint32_t>(i));
  }
  return batch;
}

uint64_t CountOf(const HistogramValues& values) {
  return std::accumulate(values.counts.begin(), values.counts.end(), uint64_t{0});
}

class RequestMetricsTest : public testing::Test {
 protected:
  void Record(const v1::EventBatch& batch, size_t first = 0, const std::string& node = "node-a") {
    metrics_->Record(Observe(MakeOrigin(1, node), batch), first);
  }
  void Limit(const RequestMetricsLimits& limits) { metrics_.emplace(&clock_, limits); }
  // The only series there is.
  RequestMetrics::Series Only() {
    RequestMetrics::State state = metrics_->Snapshot();
    EXPECT_EQ(state.series.size(), 1U);
    return state.series.at(0);
  }
  uint64_t EventsInAll() {
    uint64_t events = 0;
    for (const RequestMetrics::Series& series : metrics_->Snapshot().series) {
      events += CountOf(series.durations);
    }
    return events;
  }

  FakeClock clock_;
  std::optional<RequestMetrics> metrics_{std::in_place, &clock_};
};

TEST_F(RequestMetricsTest, AServersReportCountsForItsDestination) {
  Record(OneEvent([](auto&, auto& event) { event.set_reporter(v1::REPORTER_SERVER); }));
  const RequestMetrics::Series series = Only();
  EXPECT_EQ(series.pod->pod_name, "api");
  EXPECT_EQ(series.pod->namespace_name, "shop");
  EXPECT_EQ(series.pod->node_name, "node-a");
  EXPECT_EQ(series.pod->cluster_name, "test");
  EXPECT_FALSE(series.labels.is_client);
  EXPECT_EQ(series.labels.MethodName(), "GET");
  EXPECT_EQ(series.labels.VersionName(), "1.1");
  EXPECT_EQ(series.labels.status_code, 200);
  EXPECT_EQ(series.labels.ErrorType(), "");
}

TEST_F(RequestMetricsTest, AClientsReportCountsForItsSource) {
  Record(MakeBatch(1, 1, 3));
  const RequestMetrics::Series series = Only();
  EXPECT_EQ(series.pod->pod_name, "web");
  EXPECT_TRUE(series.labels.is_client);
  EXPECT_EQ(CountOf(series.durations), 3U);
}

TEST_F(RequestMetricsTest, BoundsAreThoseOfOpenTelemetry) {
  const std::vector<double> expected = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25,
                                        0.5,   0.75, 1,     2.5,  5,     7.5, 10};
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto bound_ns = static_cast<int64_t>(std::llround(expected[i] * 1e9));
    EXPECT_EQ(kRequestBoundsNs[i], bound_ns);
    EXPECT_EQ(BucketOf(kRequestBoundsNs, bound_ns), i) << "a bound is inside its bucket";
    EXPECT_EQ(BucketOf(kRequestBoundsNs, bound_ns + 1), i + 1);
  }
  Record(OneEvent([](auto&, auto& event) { event.set_end_ns(30'000'000); }));
  Record(OneEvent([](auto&, auto& event) { event.set_end_ns(0); }));
  Record(OneEvent([](auto&, auto& event) { event.set_end_ns(uint64_t{1} << 61); }));
  const HistogramValues values = Only().durations;
  EXPECT_EQ(values.counts.front(), 1U);
  EXPECT_EQ(values.counts[3], 1U);
  EXPECT_EQ(values.counts.back(), 1U);
  EXPECT_GT(values.sum_seconds, 2e9);
}

TEST_F(RequestMetricsTest, MethodsAndVersionsHaveFewValues) {
  const auto labels_of = [](const std::string& method, const std::string& version) {
    const v1::EventBatch batch = OneEvent([&](auto& whole, auto&) {
      whole.set_strings(1, method);
      whole.set_strings(2, version);
    });
    return RequestLabels::Unpack(Observe(MakeOrigin(1), batch).events.at(0).labels);
  };
  for (const char* method :
       {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}) {
    EXPECT_EQ(labels_of(method, "1.0").MethodName(), method);
    EXPECT_EQ(labels_of(method, "1.0").VersionName(), "1.0");
  }
  for (const char* method : {"", "get", "PROPFIND", "GET ", "\"}\n"}) {
    EXPECT_EQ(labels_of(method, "1.1").MethodName(), "_OTHER") << method;
  }
  EXPECT_EQ(labels_of("GET", "9.9").VersionName(), "");
  EXPECT_EQ(labels_of("GET", "").VersionName(), "");
}

TEST_F(RequestMetricsTest, ErrorsAreThoseOfTheirEnd) {
  const auto error_of = [](v1::Reporter reporter, uint32_t code, v1::Outcome outcome) {
    const v1::EventBatch batch = OneEvent([&](auto&, auto& event) {
      event.set_reporter(reporter);
      event.set_has_response(code != 0);
      event.set_status_code(code);
      event.set_outcome(outcome);
    });
    return RequestLabels::Unpack(Observe(MakeOrigin(1), batch).events.at(0).labels).ErrorType();
  };
  EXPECT_EQ(error_of(v1::REPORTER_SERVER, 404, v1::OUTCOME_COMPLETE), "");
  EXPECT_EQ(error_of(v1::REPORTER_CLIENT, 404, v1::OUTCOME_COMPLETE), "404");
  EXPECT_EQ(error_of(v1::REPORTER_SERVER, 503, v1::OUTCOME_CONNECTION_RESET), "503");
  EXPECT_EQ(error_of(v1::REPORTER_CLIENT, 399, v1::OUTCOME_COMPLETE), "");
  EXPECT_EQ(error_of(v1::REPORTER_SERVER, 200, v1::OUTCOME_CONNECTION_RESET), "connection_reset");
  EXPECT_EQ(error_of(v1::REPORTER_SERVER, 200, v1::OUTCOME_CONNECTION_CLOSED), "connection_closed");
  EXPECT_EQ(error_of(v1::REPORTER_CLIENT, 0, v1::OUTCOME_TIMEOUT), "timeout");
  EXPECT_EQ(error_of(v1::REPORTER_CLIENT, 0, v1::OUTCOME_NO_RESPONSE), "no_response");
  EXPECT_EQ(error_of(v1::REPORTER_CLIENT, 0, v1::OUTCOME_MALFORMED), "malformed");
  EXPECT_EQ(error_of(v1::REPORTER_CLIENT, 101, v1::OUTCOME_UPGRADED), "");
  EXPECT_EQ(error_of(v1::REPORTER_CLIENT, 200, v1::OUTCOME_TUNNEL), "");
  EXPECT_EQ(error_of(v1::REPORTER_CLIENT, 0, static_cast<v1::Outcome>(40)), "_OTHER");
}

TEST_F(RequestMetricsTest, EveryLabelKeepsItsValueWhenPacked) {
  for (const uint16_t code : {0, 1, 200, 999, 65'535}) {
    const RequestLabels labels{.is_client = true,
                               .is_loopback = code % 2 == 0,
                               .status_code = code,
                               .method = 9,
                               .version = 4,
                               .error = 7};
    const RequestLabels again = RequestLabels::Unpack(labels.Packed());
    EXPECT_EQ(again.Packed(), labels.Packed());
    EXPECT_TRUE(again.is_client);
    EXPECT_EQ(again.is_loopback, code % 2 == 0);
    EXPECT_EQ(again.status_code, code);
    EXPECT_EQ(again.MethodName(), "TRACE");
    EXPECT_EQ(again.VersionName(), "3");
    EXPECT_EQ(again.ErrorType(), "_OTHER");
  }
}

// A request that a sidecar passes on is one to the pod and one within it.
TEST_F(RequestMetricsTest, WhatStaysInAPodHasSeriesOfItsOwn) {
  for (const v1::CaptureMode mode :
       {v1::CAPTURE_MODE_HOST_VETH, v1::CAPTURE_MODE_POD_NETNS, v1::CAPTURE_MODE_POD_LOOPBACK}) {
    Record(OneEvent([&](auto&, auto& event) { event.set_capture_mode(mode); }));
  }
  std::map<std::string_view, uint64_t> events;
  for (const RequestMetrics::Series& series : metrics_->Snapshot().series) {
    events[series.labels.InterfaceName()] += CountOf(series.durations);
  }
  EXPECT_THAT(events, testing::ElementsAre(testing::Pair("", 2), testing::Pair("lo", 1)));
}

TEST_F(RequestMetricsTest, WhatIsStoredAlreadyDoesNotCount) {
  Record(MakeBatch(1, 1, 10), 4);
  EXPECT_EQ(EventsInAll(), 6U);
  Record(MakeBatch(1, 1, 10), 10);
  EXPECT_EQ(EventsInAll(), 6U);
  // Nothing new, so no series either.
  Record(WithCodes(500, 3), 3);
  EXPECT_EQ(metrics_->Snapshot().series.size(), 1U);
}

TEST_F(RequestMetricsTest, PodsOfOneNameOnTwoNodesAreTwo) {
  Record(MakeBatch(1, 1, 1), 0, "node-a");
  Record(MakeBatch(1, 1, 1), 0, "node-b");
  EXPECT_EQ(metrics_->Snapshot().series.size(), 2U);
}

TEST_F(RequestMetricsTest, BeyondTheBoundEventsGoIntoTheOverflowSeries) {
  Limit({.max_series = 5});
  Record(WithCodes(200, 8));
  Record(OneEvent([](auto&, auto& event) { event.set_reporter(v1::REPORTER_SERVER); }));
  RequestMetrics::State state = metrics_->Snapshot();
  EXPECT_EQ(state.overflow_events, 4U);
  ASSERT_EQ(state.series.size(), 7U);
  EXPECT_EQ(state.series[5].pod, nullptr);
  EXPECT_FALSE(state.series[5].labels.is_client);
  EXPECT_EQ(CountOf(state.series[5].durations), 1U);
  EXPECT_EQ(state.series[6].pod, nullptr);
  EXPECT_TRUE(state.series[6].labels.is_client);
  EXPECT_EQ(CountOf(state.series[6].durations), 3U);
  // Series that are there go on.
  Record(WithCodes(200, 5));
  EXPECT_EQ(metrics_->Snapshot().overflow_events, 4U);
  EXPECT_EQ(EventsInAll(), 14U);
}

TEST_F(RequestMetricsTest, OnePodCannotTakeAllSeries) {
  Limit({.max_series = 100, .max_series_per_pod = 3});
  Record(WithCodes(200, 50));
  EXPECT_EQ(metrics_->Snapshot().overflow_events, 47U);
  Record(OneEvent([](auto& batch, auto&) { batch.mutable_endpoints(0)->set_pod_name("other"); }));
  EXPECT_EQ(metrics_->Snapshot().overflow_events, 47U);
}

// The agent may learn what a pod belongs to after its first events.
TEST_F(RequestMetricsTest, APodsWorkloadIsPartOfItsSeries) {
  const v1::EventBatch before = MakeBatch(1, 1, 3);
  const v1::EventBatch after = OneEvent([](auto& batch, auto&) {
    batch.mutable_endpoints(0)->mutable_workload()->set_kind("StatefulSet");
    batch.mutable_endpoints(0)->mutable_workload()->set_name("web");
    batch.mutable_endpoints(0)->set_service_name("storefront");
  });
  Record(before);
  Record(after);
  Record(after);
  std::map<std::string, uint64_t> counts;
  for (const RequestMetrics::Series& series : metrics_->Snapshot().series) {
    counts[std::string(series.pod->WorkloadLabel()) + "=" + series.pod->workload_name + " " +
           series.pod->service_name] = CountOf(series.durations);
  }
  EXPECT_THAT(counts, testing::UnorderedElementsAre(
                          testing::Pair("= ", 3U),
                          testing::Pair("k8s_statefulset_name=web storefront", 2U)));
}

TEST_F(RequestMetricsTest, PodsWithoutEventsGo) {
  Record(MakeBatch(1, 1, 1), 0, "node-a");
  Record(WithCodes(500, 2), 0, "node-b");
  clock_.Advance(400 * kSecondNs);
  // Keeps all series of the pod, the silent ones too.
  Record(WithCodes(500, 1), 0, "node-b");
  clock_.Advance(300 * kSecondNs);
  EXPECT_EQ(metrics_->Snapshot().series.size(), 2U);
  clock_.Advance(400 * kSecondNs);
  EXPECT_EQ(metrics_->Snapshot().series.size(), 0U);
}

TEST_F(RequestMetricsTest, IdlePodsMakeRoomWithoutAScrape) {
  Limit({.max_series = 2});
  Record(WithCodes(200, 2), 0, "node-a");
  clock_.Advance(601 * kSecondNs);
  Record(WithCodes(200, 2), 0, "node-b");
  EXPECT_EQ(metrics_->Snapshot().overflow_events, 0U);
  EXPECT_EQ(metrics_->Snapshot().series.size(), 2U);
}

}  // namespace
}  // namespace podtap::ingest
