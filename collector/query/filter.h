// The filters of a query, compiled: one predicate for lists and for followed streams.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "collector/store/event_store.h"
#include "podtap/v1/query_service.pb.h"

namespace podtap::query {

using EventFilters = google::protobuf::RepeatedPtrField<v1::EventFilter>;

// Immutable, thread-safe.
class EventMatcher {
 public:
  // kInvalidArgument names the field, e.g. "include[0].status[1]: ...".
  static absl::StatusOr<EventMatcher> Compile(const EventFilters& include,
                                              const EventFilters& exclude);
  EventMatcher(EventMatcher&&) noexcept;
  EventMatcher& operator=(EventMatcher&&) noexcept;
  ~EventMatcher();

  // Matches one of include (or include is empty) and none of exclude.
  bool Matches(store::EventView& event) const;

 private:
  struct Filters;
  explicit EventMatcher(std::unique_ptr<const Filters> filters);

  std::unique_ptr<const Filters> filters_;
};

}  // namespace podtap::query
