// One followed stream: reads the store from a cursor on, in the order in which events were stored.
// A slow client falls behind in the store, not in memory, so it loses nothing inside retention.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "collector/query/filter.h"
#include "collector/query/token.h"
#include "collector/store/event_store.h"
#include "common/clock.h"
#include "podtap/v1/query_service.pb.h"

namespace podtap::query {

// Used by one thread.
class Follow {
 public:
  // What one look at the store gave.
  struct Chunk {
    std::vector<v1::FollowEventsResponse> responses;
    // Nothing more is stored at the moment.
    bool caught_up = false;
  };

  // Finds where the stream begins. `is_over` tells that nobody listens any more. `budget_ns` bounds
  // the search for the newest events. kInvalidArgument names the field.
  static absl::StatusOr<Follow> Start(store::EventStore* store, const Clock* clock,
                                      int64_t budget_ns, const v1::FollowEventsRequest& request,
                                      std::function<bool()> is_over);

  v1::FollowEventsResponse FirstResponse() const;
  v1::FollowEventsResponse Heartbeat() const;
  // Bounded in events, bytes and time.
  absl::StatusOr<Chunk> Next();
  // Waits a moment for new events.
  void Wait();

 private:
  Follow(store::EventStore* store, const Clock* clock, EventMatcher matcher,
         std::function<bool()> is_over)
      : store_(store), clock_(clock), matcher_(std::move(matcher)), is_over_(std::move(is_over)) {}
  absl::Status FindStart(const v1::FollowEventsRequest& request, int64_t budget_ns);
  absl::Status GoBack(int32_t count, int64_t budget_ns);
  std::string CursorAt(uint64_t row) const;

  store::EventStore* store_;
  const Clock* clock_;
  EventMatcher matcher_;
  std::function<bool()> is_over_;
  uint64_t store_id_ = 0;
  // Last row handled.
  uint64_t row_ = 0;
  uint64_t expired_ = 0;
  bool store_changed_ = false;
};

}  // namespace podtap::query
