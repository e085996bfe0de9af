#include "collector/query/event_list.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_format.h"
#include "collector/query/filter.h"
#include "collector/query/query_time.h"
#include "collector/query/token.h"
#include "common/status.h"

namespace podtap::query {
namespace {

constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;
// gRPC clients take 4 MiB by default.
constexpr size_t kMaxPageBytes = 3 << 20;
constexpr uint32_t kRowsPerCheck = 64;

absl::StatusOr<int> ParsePageSize(int32_t page_size) {
  if (page_size < 0) {
    return absl::InvalidArgumentError(absl::StrFormat("page_size: %d is negative", page_size));
  }
  return page_size == 0 ? kDefaultPageSize : std::min(page_size, kMaxPageSize);
}

absl::StatusOr<store::ScanOrder> ParseOrder(v1::Order order) {
  if (order == v1::ORDER_OLDEST) {
    return store::ScanOrder::kOldestStart;
  }
  if (order == v1::ORDER_UNSPECIFIED || order == v1::ORDER_NEWEST) {
    return store::ScanOrder::kNewestStart;
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("order: %d is no order", static_cast<int>(order)));
}

absl::StatusOr<std::optional<PageToken>> ParseToken(const v1::ListEventsRequest& request,
                                                    const store::StoreState& state) {
  if (request.page_token().empty()) {
    return std::nullopt;
  }
  const std::optional<PageToken> token = DecodePageToken(request.page_token());
  if (!token || token->store_id != state.store_id) {
    return absl::InvalidArgumentError("page_token: is not a token of this collector");
  }
  if (token->fingerprint != Fingerprint(request)) {
    return absl::InvalidArgumentError("page_token: belongs to a request with other fields");
  }
  return token;
}

// What of `asked` the store holds; absent when that is nothing.
void SetCovered(const NsRange& asked, const store::StoreState& state, int64_t now_ns,
                v1::ListEventsResponse* response) {
  const int64_t held_since_ns =
      std::min(state.complete_since_ns, state.oldest_start_ns.value_or(state.complete_since_ns));
  const int64_t begin_ns = std::max(asked.begin_ns, held_since_ns);
  const int64_t end_ns = std::min(asked.end_ns, now_ns);
  if (begin_ns < end_ns) {
    SetTimestamp(begin_ns, response->mutable_covered()->mutable_start_time());
    SetTimestamp(end_ns, response->mutable_covered()->mutable_end_time());
  }
}

// One page while it fills.
class Page {
 public:
  Page(int size, v1::ListEventsResponse* response) : size_(size), response_(response) {}

  // False when the event did not fit any more.
  bool Add(const store::ScanPosition& position, v1::HttpEvent event) {
    const size_t bytes = event.ByteSizeLong();
    const int count = response_->events_size();
    if (count >= size_ || (count > 0 && bytes_ + bytes > kMaxPageBytes)) {
      is_full_ = true;
      return false;
    }
    bytes_ += bytes;
    last_ = position;
    *response_->add_events() = std::move(event);
    return true;
  }
  bool is_full() const { return is_full_; }
  // Place of the last event of a full page.
  const store::ScanPosition& last() const { return last_; }

 private:
  const int size_;
  v1::ListEventsResponse* const response_;
  size_t bytes_ = 0;
  bool is_full_ = false;
  store::ScanPosition last_;
};

}  // namespace

absl::Status ListStoredEvents(store::EventStore& store, const Clock& clock, int64_t budget_ns,
                              const v1::ListEventsRequest& request,
                              const std::function<bool()>& is_over,
                              v1::ListEventsResponse* response) {
  PODTAP_ASSIGN_OR_RETURN(const int page_size, ParsePageSize(request.page_size()));
  PODTAP_ASSIGN_OR_RETURN(const store::ScanOrder order, ParseOrder(request.order()));
  PODTAP_ASSIGN_OR_RETURN(const NsRange range, ParseTimeRange("time_range", request.time_range()));
  PODTAP_ASSIGN_OR_RETURN(const EventMatcher matcher,
                          EventMatcher::Compile(request.include(), request.exclude()));
  const store::StoreState state = store.State();
  PODTAP_ASSIGN_OR_RETURN(const std::optional<PageToken> token, ParseToken(request, state));

  store::ScanRequest scan;
  scan.order = order;
  scan.begin_ns = range.begin_ns;
  scan.end_ns = range.end_ns;
  scan.last_row = token ? token->last_row : state.last_row;
  if (token) {
    scan.resume = token->position;
  }
  Page page(page_size, response);
  const int64_t deadline_ns = clock.MonotonicNs() + budget_ns;
  uint32_t rows = 0;
  store::ScanCallbacks callbacks;
  callbacks.matches = [&](store::EventView& event) { return matcher.Matches(event); };
  callbacks.on_event = [&](const store::ScanPosition& position, v1::HttpEvent event) {
    return page.Add(position, std::move(event));
  };
  // The first row is always looked at, so that every page makes progress.
  callbacks.keep_going = [&] {
    return rows++ % kRowsPerCheck != kRowsPerCheck - 1 ||
           (!is_over() && clock.MonotonicNs() < deadline_ns);
  };
  PODTAP_ASSIGN_OR_RETURN(const store::ScanEnd end, store.Scan(scan, callbacks));
  if (is_over()) {
    return absl::CancelledError("nobody waits for the answer");
  }
  if (!end.complete && (page.is_full() || end.position)) {
    response->set_next_page_token(
        EncodePageToken({.store_id = state.store_id,
                         .fingerprint = Fingerprint(request),
                         .position = page.is_full() ? page.last() : *end.position,
                         .last_row = scan.last_row}));
  }
  SetCovered(range, state, clock.WallNs(), response);
  PODTAP_ASSIGN_OR_RETURN(const std::vector<v1::Loss> losses,
                          store.Losses(range.begin_ns, range.end_ns));
  for (const v1::Loss& loss : losses) {
    *response->add_losses() = loss;
  }
  return absl::OkStatus();
}

}  // namespace podtap::query
