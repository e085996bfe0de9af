#include "collector/query/follow.h"

#include <optional>
#include <utility>

#include "absl/strings/str_format.h"
#include "common/status.h"

namespace podtap::query {
namespace {

constexpr int32_t kMaxLast = 100'000;
constexpr size_t kMaxChunkEvents = 256;
constexpr size_t kMaxChunkBytes = 1 << 20;
constexpr int64_t kMaxChunkNs = 1'000'000'000;
// How soon a stream notices that its client is gone.
constexpr int64_t kWaitNs = 250'000'000;
constexpr uint32_t kRowsPerCheck = 64;

}  // namespace

absl::StatusOr<Follow> Follow::Start(store::EventStore* store, const Clock* clock,
                                     int64_t budget_ns, const v1::FollowEventsRequest& request,
                                     std::function<bool()> is_over) {
  if (request.last() < 0 || request.last() > kMaxLast) {
    return absl::InvalidArgumentError(
        absl::StrFormat("last: %d is not from 0 to %d", request.last(), kMaxLast));
  }
  PODTAP_ASSIGN_OR_RETURN(EventMatcher matcher,
                          EventMatcher::Compile(request.include(), request.exclude()));
  Follow follow(store, clock, std::move(matcher), std::move(is_over));
  PODTAP_RETURN_IF_ERROR(follow.FindStart(request, budget_ns));
  return follow;
}

absl::Status Follow::FindStart(const v1::FollowEventsRequest& request, int64_t budget_ns) {
  const store::StoreState state = store_->State();
  store_id_ = state.store_id;
  row_ = state.last_row;
  if (request.cursor().empty()) {
    return request.last() > 0 ? GoBack(request.last(), budget_ns) : absl::OkStatus();
  }
  const std::optional<Cursor> cursor = DecodeCursor(request.cursor());
  if (!cursor) {
    return absl::InvalidArgumentError("cursor: is not a cursor of a collector");
  }
  if (cursor->store_id != state.store_id || cursor->row > state.last_row) {
    // Of a store that is gone: how much lay between can't be known.
    store_changed_ = true;
    row_ = state.oldest_row - 1;
    return absl::OkStatus();
  }
  row_ = cursor->row;
  if (row_ + 1 < state.oldest_row) {
    expired_ = state.oldest_row - 1 - row_;
    row_ = state.oldest_row - 1;
  }
  return absl::OkStatus();
}

absl::Status Follow::GoBack(int32_t count, int64_t budget_ns) {
  store::ScanRequest scan;
  scan.order = store::ScanOrder::kRowDescending;
  scan.last_row = row_;
  const int64_t deadline_ns = clock_->MonotonicNs() + budget_ns;
  uint32_t rows = 0;
  int32_t found = 0;
  uint64_t first_row = row_ + 1;
  store::ScanCallbacks callbacks;
  callbacks.matches = [&](store::EventView& event) { return matcher_.Matches(event); };
  callbacks.on_event = [&](const store::ScanPosition& position, const v1::HttpEvent&) {
    first_row = position.row;
    return ++found < count;
  };
  callbacks.keep_going = [&] {
    return rows++ % kRowsPerCheck != 0 || (!is_over_() && clock_->MonotonicNs() < deadline_ns);
  };
  PODTAP_RETURN_IF_ERROR(store_->Scan(scan, callbacks).status());
  row_ = first_row - 1;
  return absl::OkStatus();
}

std::string Follow::CursorAt(uint64_t row) const {
  return EncodeCursor({.store_id = store_id_, .row = row});
}

v1::FollowEventsResponse Follow::FirstResponse() const {
  v1::FollowEventsResponse response = Heartbeat();
  response.set_expired(expired_);
  response.set_store_changed(store_changed_);
  return response;
}

v1::FollowEventsResponse Follow::Heartbeat() const {
  v1::FollowEventsResponse response;
  response.set_cursor(CursorAt(row_));
  return response;
}

absl::StatusOr<Follow::Chunk> Follow::Next() {
  Chunk chunk;
  store::ScanRequest scan;
  scan.order = store::ScanOrder::kRowAscending;
  scan.after_row = row_;
  scan.last_row = store_->WaitForRows(row_, 0);
  if (scan.last_row <= row_) {
    chunk.caught_up = true;
    return chunk;
  }
  size_t bytes = 0;
  uint32_t rows = 0;
  const int64_t deadline_ns = clock_->MonotonicNs() + kMaxChunkNs;
  store::ScanCallbacks callbacks;
  callbacks.matches = [&](store::EventView& event) { return matcher_.Matches(event); };
  callbacks.on_event = [&](const store::ScanPosition& position, v1::HttpEvent event) {
    v1::FollowEventsResponse& response = chunk.responses.emplace_back();
    *response.mutable_event() = std::move(event);
    response.set_cursor(CursorAt(position.row));
    bytes += response.ByteSizeLong();
    return chunk.responses.size() < kMaxChunkEvents && bytes < kMaxChunkBytes;
  };
  callbacks.keep_going = [&] {
    return rows++ % kRowsPerCheck != kRowsPerCheck - 1 ||
           (!is_over_() && clock_->MonotonicNs() < deadline_ns);
  };
  PODTAP_ASSIGN_OR_RETURN(const store::ScanEnd end, store_->Scan(scan, callbacks));
  if (end.complete) {
    row_ = scan.last_row;
  } else if (end.position) {
    row_ = end.position->row;
  }
  return chunk;
}

void Follow::Wait() { store_->WaitForRows(row_, kWaitNs); }

}  // namespace podtap::query
