// ListEvents without the RPC around it.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/status/status.h"
#include "collector/store/event_store.h"
#include "common/clock.h"
#include "podtap/v1/query_service.pb.h"

namespace podtap::query {

// Fills `response` with one page. The page ends early, with a token to go on by, when it has grown
// large or `budget_ns` has passed. `is_over` tells that nobody waits any more (kCancelled).
// kInvalidArgument names the field.
absl::Status ListStoredEvents(store::EventStore& store, const Clock& clock, int64_t budget_ns,
                              const v1::ListEventsRequest& request,
                              const std::function<bool()>& is_over,
                              v1::ListEventsResponse* response);

}  // namespace podtap::query
