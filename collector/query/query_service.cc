#include "collector/query/query_service.h"

#include <algorithm>
#include <utility>

#include "collector/query/event_list.h"
#include "collector/query/follow.h"
#include "collector/query/query_time.h"
#include "common/status.h"

namespace podtap::query {
namespace {

// Response messages stay well under the 4 MiB that gRPC clients take by default.
constexpr size_t kMaxStatusBytes = 3 << 20;

// Takes one of `limit` places while it lives.
class Place {
 public:
  Place(std::atomic<int>& taken, int limit) : taken_(taken), granted_(++taken <= limit) {}
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() { --taken_; }
  bool granted() const { return granted_; }

 private:
  std::atomic<int>& taken_;
  const bool granted_;
};

// Observes how long it lives.
class Stopwatch {
 public:
  Stopwatch(const Clock& clock, WorkHistogram& durations)
      : clock_(clock), durations_(durations), start_ns_(clock.MonotonicNs()) {}
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  ~Stopwatch() { durations_.Observe(clock_.MonotonicNs() - start_ns_); }

 private:
  const Clock& clock_;
  WorkHistogram& durations_;
  const int64_t start_ns_;
};

grpc::Status ToGrpc(const absl::Status& status) {
  // The numbers of absl's and gRPC's codes are the same.
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

grpc::Status TooMany(const char* what) {
  return {grpc::StatusCode::RESOURCE_EXHAUSTED, std::string("too many ") + what + " at a time"};
}

grpc::Status Stopping() { return {grpc::StatusCode::UNAVAILABLE, "the collector is stopping"}; }

}  // namespace

QueryService::QueryService(const QueryOptions& options, store::EventStore* store,
                           const Clock* clock, StatusSource status_source,
                           CoverageSource coverage_source)
    : options_(options),
      store_(store),
      clock_(clock),
      status_source_(std::move(status_source)),
      coverage_source_(std::move(coverage_source)),
      start_time_ns_(clock->WallNs()) {}

void QueryService::Stop() {
  stopping_ = true;
  store_->WakeWaiters();
}

grpc::Status QueryService::ListEvents(grpc::ServerContext* context,
                                      const v1::ListEventsRequest* request,
                                      v1::ListEventsResponse* response) {
  const Place place(lists_, kMaxLists);
  if (!place.granted()) {
    return TooMany("lists");
  }
  const Stopwatch stopwatch(*clock_, list_durations_);
  const auto is_over = [&] { return stopping_ || context->IsCancelled(); };
  const absl::Status status =
      ListStoredEvents(*store_, *clock_, options_.list_budget_ns, *request, is_over, response);
  return stopping_ ? Stopping() : ToGrpc(status);
}

grpc::Status QueryService::FollowEvents(grpc::ServerContext* context,
                                        const v1::FollowEventsRequest* request,
                                        grpc::ServerWriter<v1::FollowEventsResponse>* writer) {
  const Place place(follows_, kMaxFollows);
  if (!place.granted()) {
    return TooMany("followed streams");
  }
  absl::StatusOr<Follow> follow =
      Follow::Start(store_, clock_, options_.list_budget_ns, *request,
                    [&] { return stopping_ || context->IsCancelled(); });
  if (!follow.ok()) {
    return ToGrpc(follow.status());
  }
  int64_t last_write_ns = clock_->MonotonicNs();
  if (!writer->Write(follow->FirstResponse())) {
    return grpc::Status::CANCELLED;
  }
  while (!stopping_ && !context->IsCancelled()) {
    const absl::StatusOr<Follow::Chunk> chunk = follow->Next();
    if (!chunk.ok()) {
      return ToGrpc(chunk.status());
    }
    for (const v1::FollowEventsResponse& response : chunk->responses) {
      if (!writer->Write(response)) {
        return stopping_ ? Stopping() : grpc::Status::CANCELLED;
      }
      last_write_ns = clock_->MonotonicNs();
    }
    if (clock_->MonotonicNs() - last_write_ns >= options_.heartbeat_ns) {
      if (!writer->Write(follow->Heartbeat())) {
        return stopping_ ? Stopping() : grpc::Status::CANCELLED;
      }
      last_write_ns = clock_->MonotonicNs();
    }
    if (chunk->caught_up) {
      follow->Wait();
    }
  }
  return stopping_ ? Stopping() : grpc::Status::CANCELLED;
}

grpc::Status QueryService::GetServerStatus(grpc::ServerContext*, const v1::GetServerStatusRequest*,
                                           v1::GetServerStatusResponse* response) {
  const Stopwatch stopwatch(*clock_, status_durations_);
  response->set_version(PODTAP_VERSION);
  SetTimestamp(start_time_ns_, response->mutable_start_time());
  const store::StoreState state = store_->State();
  response->set_stored_events(state.events);
  response->set_store_bytes(state.bytes);
  if (state.oldest_start_ns) {
    SetTimestamp(*state.oldest_start_ns, response->mutable_oldest_event_time());
  }
  if (state.newest_start_ns) {
    SetTimestamp(*state.newest_start_ns, response->mutable_newest_event_time());
  }
  response->set_store_error(std::string(store_->WriteStatus().message()));
  status_source_(response);
  size_t bytes = response->ByteSizeLong();
  for (int i = response->agents_size() - 1; i >= 0 && bytes > kMaxStatusBytes; --i) {
    // Very many agents: the last ones go without their lists rather than the whole answer.
    v1::AgentState& agent = *response->mutable_agents(i);
    bytes -= agent.status().ByteSizeLong();
    agent.mutable_status()->clear_ledger();
    agent.mutable_status()->clear_tls_uses();
  }
  return grpc::Status::OK;
}

grpc::Status QueryService::GetCoverage(grpc::ServerContext*, const v1::GetCoverageRequest* request,
                                       v1::GetCoverageResponse* response) {
  const Stopwatch stopwatch(*clock_, coverage_durations_);
  return ToGrpc(ListCoverage(coverage_source_(), *request, response));
}

}  // namespace podtap::query
