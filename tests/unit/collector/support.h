// What the collector's tests share.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include "collector/store/sqlite/sqlite_store.h"
#include "common/clock.h"
#include "gtest/gtest.h"
#include "tests/support/temp_dir.h"

namespace podtap {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr int64_t kHourNs = 3600 * kSecondNs;
// 2030-01-01T12:00:00Z.
constexpr int64_t kNoonNs = 1'893'499'200 * kSecondNs;

// Stands still until it is moved.
class FakeClock : public Clock {
 public:
  int64_t MonotonicNs() const override { return now_ns_; }
  int64_t WallNs() const override { return now_ns_; }
  void Advance(int64_t ns) { now_ns_ += ns; }

 private:
  std::atomic<int64_t> now_ns_ = kNoonNs;
};

// A batch of `count` events that begin a millisecond apart from `base_ns` on: GET, path
// "/SEQUENCE", status 200, from shop/web to shop/api.
inline v1::EventBatch MakeBatch(uint64_t epoch, uint64_t first, int count,
                                int64_t base_ns = kNoonNs) {
  v1::EventBatch batch;
  batch.set_epoch(epoch);
  batch.set_first_sequence(first);
  batch.set_base_time_unix_ns(base_ns);
  for (const char* text : {"", "GET", "1.1", "veth1"}) {
    batch.add_strings(text);
  }
  for (const char* name : {"web", "api"}) {
    v1::Endpoint& endpoint = *batch.add_endpoints();
    endpoint.set_ip("10.0.0.1");
    endpoint.set_kind(v1::ENDPOINT_KIND_POD);
    endpoint.set_namespace_("shop");
    endpoint.set_pod_name(name);
    endpoint.set_metadata_state(v1::METADATA_STATE_RESOLVED);
  }
  for (int i = 0; i < count; ++i) {
    v1::BatchEvent& event = *batch.add_events();
    event.set_reporter(v1::REPORTER_CLIENT);
    event.set_capture_mode(v1::CAPTURE_MODE_HOST_VETH);
    event.set_interface_name_string(3);
    event.set_start_offset_ns(i * 1'000'000);
    event.set_end_ns(1'000'000);
    event.set_source_endpoint(0);
    event.set_source_port(40'000);
    event.set_destination_endpoint(1);
    event.set_destination_port(8080);
    event.set_method_string(1);
    event.set_protocol_version_string(2);
    event.set_path_string(static_cast<uint32_t>(batch.strings_size()));
    batch.add_strings("/" + std::to_string(first + static_cast<uint64_t>(i)));
    event.set_has_response(true);
    event.set_status_code(200);
    event.set_outcome(v1::OUTCOME_COMPLETE);
    event.set_sample_ratio(1);
  }
  return batch;
}

inline store::Origin MakeOrigin(uint64_t epoch, const std::string& node = "node-a") {
  return {.node_name = node, .cluster_name = "test", .epoch = epoch};
}

// Submits and waits for the commit.
inline absl::StatusOr<store::WriteResult> WriteNow(store::EventStore& store, store::Write write) {
  std::promise<absl::StatusOr<store::WriteResult>> done;
  store.Submit(nullptr, std::move(write),
               [&](const absl::StatusOr<store::WriteResult>& result) { done.set_value(result); });
  return done.get_future().get();
}

inline absl::StatusOr<store::WriteResult> WriteBatch(store::EventStore& store,
                                                     const v1::EventBatch& batch,
                                                     const std::string& node = "node-a") {
  return WriteNow(store, store::BatchWrite{MakeOrigin(batch.epoch(), node), batch});
}

// Events of a scan.
inline std::vector<v1::HttpEvent> ReadAll(store::EventStore& store,
                                          const store::ScanRequest& request = {}) {
  std::vector<v1::HttpEvent> events;
  const auto end =
      store.Scan(request, {.on_event = [&](const store::ScanPosition&, v1::HttpEvent event) {
                   events.push_back(std::move(event));
                   return true;
                 }});
  EXPECT_TRUE(end.ok()) << end.status();
  return events;
}

// Their paths, joined by spaces.
inline std::string Paths(const std::vector<v1::HttpEvent>& events) {
  std::string paths;
  for (const v1::HttpEvent& event : events) {
    paths += (paths.empty() ? "" : " ") + event.request().path();
  }
  return paths;
}

}  // namespace podtap
