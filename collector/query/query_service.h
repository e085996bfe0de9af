// QueryService over the event store. Synchronous gRPC: a call occupies a thread, so both kinds of
// call are bounded in number.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <functional>

#include "collector/query/coverage.h"
#include "collector/query/filter.h"
#include "collector/store/event_store.h"
#include "common/clock.h"
#include "common/histogram.h"
#include "podtap/v1/query_service.grpc.pb.h"

namespace podtap::query {

constexpr int kMaxLists = 16;
constexpr int kMaxFollows = 64;

struct QueryOptions {
  // Longest time a list looks through events before it returns what it has and a page token.
  int64_t list_budget_ns = int64_t{10} * 1'000'000'000;
  // A followed stream is never silent for longer.
  int64_t heartbeat_ns = int64_t{15} * 1'000'000'000;
};

// Adds what the collector knows of agents, and its ledger, to a server status.
using StatusSource = std::function<void(v1::GetServerStatusResponse*)>;

// Thread-safe. `store` and `clock` outlive the service.
class QueryService final : public v1::QueryService::Service {
 public:
  QueryService(const QueryOptions& options, store::EventStore* store, const Clock* clock,
               StatusSource status_source, CoverageSource coverage_source);

  // Makes calls that are going on end with UNAVAILABLE, and new ones too.
  void Stop();

  // How long calls took that have ended; FollowEvents has no length of its own.
  HistogramValues list_durations() const { return list_durations_.values(); }
  HistogramValues status_durations() const { return status_durations_.values(); }
  HistogramValues coverage_durations() const { return coverage_durations_.values(); }

  grpc::Status ListEvents(grpc::ServerContext* context, const v1::ListEventsRequest* request,
                          v1::ListEventsResponse* response) override;
  grpc::Status FollowEvents(grpc::ServerContext* context, const v1::FollowEventsRequest* request,
                            grpc::ServerWriter<v1::FollowEventsResponse>* writer) override;
  grpc::Status GetServerStatus(grpc::ServerContext* context,
                               const v1::GetServerStatusRequest* request,
                               v1::GetServerStatusResponse* response) override;
  grpc::Status GetCoverage(grpc::ServerContext* context, const v1::GetCoverageRequest* request,
                           v1::GetCoverageResponse* response) override;

 private:
  const QueryOptions options_;
  store::EventStore* const store_;
  const Clock* const clock_;
  const StatusSource status_source_;
  const CoverageSource coverage_source_;
  const int64_t start_time_ns_;
  std::atomic<bool> stopping_ = false;
  std::atomic<int> lists_ = 0;
  std::atomic<int> follows_ = 0;
  WorkHistogram list_durations_;
  WorkHistogram status_durations_;
  WorkHistogram coverage_durations_;
};

}  // namespace podtap::query
