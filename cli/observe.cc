#include "cli/observe.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "common/event_text.h"
#include "common/status.h"
#include "common/text.h"

namespace podtap::cli {
namespace {

constexpr int32_t kPageSize = 1000;
constexpr auto kListDeadline = std::chrono::seconds(60);
constexpr double kFirstBackoffSeconds = 0.2;
constexpr double kMaxBackoffSeconds = 5;

absl::Time ToTime(const google::protobuf::Timestamp& time) {
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

std::string TimeText(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%S%Ez", ToTime(time), absl::LocalTimeZone());
}

// What the same request can be repeated after.
bool IsPassing(grpc::StatusCode code) {
  switch (code) {
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::NOT_FOUND:
    case grpc::StatusCode::ALREADY_EXISTS:
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::FAILED_PRECONDITION:
    case grpc::StatusCode::OUT_OF_RANGE:
    case grpc::StatusCode::UNIMPLEMENTED:
    case grpc::StatusCode::UNAUTHENTICATED:
      return false;
    default:
      return true;
  }
}

// Ended because the output takes no more: not an error.
absl::Status OutputEnded() { return absl::CancelledError(); }

class Observer {
 public:
  Observer(const ObserveOptions& options, const ObserveServer& server, const ObserveOutput& output)
      : options_(options),
        server_(server),
        output_(output),
        stub_(server.connect()),
        cursor_(options.cursor) {}

  absl::Status Run() {
    if (!options_.follow) {
      return List();
    }
    if (options_.time_range.has_start_time()) {
      // The stream's beginning first, then the list: what is stored in between is in both, and
      // printed once.
      PODTAP_RETURN_IF_ERROR(Follow(true));
      PODTAP_RETURN_IF_ERROR(List());
    }
    return Follow(false);
  }

 private:
  absl::Status ToStatus(const grpc::Status& status) const {
    if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
      const std::string refusal = server_.explain();
      return absl::UnavailableError(
          absl::StrFormat("can't reach the collector at %s: %s", options_.server.ToString(),
                          refusal.empty() ? SafeText(status.error_message(), 300) : refusal));
    }
    // The numbers of absl's and gRPC's codes are the same.
    return absl::Status(
        static_cast<absl::StatusCode>(status.error_code()),
        absl::StrFormat("the collector at %s answers: %s", options_.server.ToString(),
                        SafeText(status.error_message(), 300)));
  }

  absl::Status Print(const v1::HttpEvent& event, const std::string& cursor) {
    const std::string line = options_.json ? JsonLine(event) : CompactLine(event, options_.colour);
    return output_.event_line(line, cursor) ? absl::OkStatus() : OutputEnded();
  }

  // Prints stored events, oldest first.
  absl::Status List() {
    v1::ListEventsRequest request;
    *request.mutable_time_range() = options_.time_range;
    *request.mutable_include() = options_.include;
    *request.mutable_exclude() = options_.exclude;
    request.set_order(options_.last ? v1::ORDER_NEWEST : v1::ORDER_OLDEST);
    std::vector<v1::HttpEvent> newest;
    const auto wanted = static_cast<size_t>(options_.last.value_or(0));
    do {
      request.set_page_size(
          options_.last ? std::clamp(static_cast<int32_t>(wanted - newest.size()), 1, kPageSize)
                        : kPageSize);
      v1::ListEventsResponse page;
      PODTAP_RETURN_IF_ERROR(Fetch(request, &page));
      if (request.page_token().empty()) {
        NoteCoverage(page);
      }
      for (v1::HttpEvent& event : *page.mutable_events()) {
        if (!options_.last) {
          PODTAP_RETURN_IF_ERROR(PrintListed(event));
        } else if (newest.size() < wanted) {
          newest.push_back(std::move(event));
        }
      }
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty() && (!options_.last || newest.size() < wanted));
    std::reverse(newest.begin(), newest.end());
    for (const v1::HttpEvent& event : newest) {
      PODTAP_RETURN_IF_ERROR(PrintListed(event));
    }
    return absl::OkStatus();
  }

  absl::Status Fetch(const v1::ListEventsRequest& request, v1::ListEventsResponse* page) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kListDeadline);
    const grpc::Status status = stub_->ListEvents(&context, request, page);
    return status.ok() ? absl::OkStatus() : ToStatus(status);
  }

  absl::Status PrintListed(const v1::HttpEvent& event) {
    if (options_.follow) {
      listed_.insert(absl::HashOf(event.id()));
    }
    return Print(event, "");
  }

  // Only when a time was asked for: else everything stored is what was meant.
  void NoteCoverage(const v1::ListEventsResponse& page) {
    const v1::TimeRange& asked = options_.time_range;
    if (!asked.has_start_time() && !asked.has_end_time()) {
      return;
    }
    if (!page.has_covered()) {
      output_.note("the collector holds nothing of that time");
      return;
    }
    if (asked.has_start_time() &&
        ToTime(page.covered().start_time()) > ToTime(asked.start_time())) {
      output_.note("the collector holds events from " + TimeText(page.covered().start_time()) +
                   " on, not from " + TimeText(asked.start_time()));
    }
    for (const v1::Loss& loss : page.losses()) {
      const std::string& stage = v1::LedgerStage_Name(loss.stage());
      output_.note(absl::StrFormat("lost in that time: %d at node %s, %s %s", loss.count(),
                                   SafeText(loss.node_name()), SafeText(stage),
                                   SafeText(loss.name())));
    }
  }

  // Follows for ever; with `only_begin`, only until the collector has said where the stream begins.
  absl::Status Follow(bool only_begin) {
    while (true) {
      grpc::ClientContext context;
      v1::FollowEventsRequest request;
      *request.mutable_include() = options_.include;
      *request.mutable_exclude() = options_.exclude;
      request.set_cursor(cursor_);
      if (cursor_.empty() && !only_begin) {
        request.set_last(options_.last.value_or(0));
      }
      const auto reader = stub_->FollowEvents(&context, request);
      v1::FollowEventsResponse response;
      while (reader->Read(&response)) {
        absl::Status status = Take(response);
        if (!status.ok() || only_begin) {
          context.TryCancel();
          reader->Finish();
          return status;
        }
      }
      const grpc::Status status = reader->Finish();
      if (!IsPassing(status.error_code())) {
        return ToStatus(status);
      }
      PODTAP_RETURN_IF_ERROR(Pause(status));
      stub_ = server_.connect();
    }
  }

  absl::Status Take(const v1::FollowEventsResponse& response) {
    if (is_lost_) {
      is_lost_ = false;
      output_.note("connected again");
    }
    was_connected_ = true;
    backoff_seconds_ = kFirstBackoffSeconds;
    if (response.expired() > 0) {
      output_.note(absl::StrFormat("%d stored events have expired meanwhile", response.expired()));
    }
    if (response.store_changed()) {
      output_.note(
          "the collector's store is not the one of before; going on with the oldest event it "
          "keeps: some events may be repeated or missing");
    }
    cursor_ = response.cursor();
    if (response.has_event() && listed_.erase(absl::HashOf(response.event().id())) == 0) {
      return Print(response.event(), cursor_);
    }
    return output_.event_line(std::nullopt, cursor_) ? absl::OkStatus() : OutputEnded();
  }

  // Waits before the next attempt; says once per outage that the connection is lost. TLS that fails
  // before there was any connection is an error: waiting would not mend it.
  absl::Status Pause(const grpc::Status& status) {
    if (!is_lost_) {
      is_lost_ = true;
      const std::string refusal = server_.explain();
      if (!refusal.empty() && !was_connected_) {
        return absl::UnavailableError(absl::StrFormat("can't reach the collector at %s: %s",
                                                      options_.server.ToString(), refusal));
      }
      output_.note("no connection to the collector at " + options_.server.ToString() + " (" +
                   (refusal.empty() ? SafeText(status.error_message(), 300) : refusal) +
                   "); trying again");
    }
    std::uniform_real_distribution<double> jitter(0.5, 1);
    std::this_thread::sleep_for(std::chrono::duration<double>(backoff_seconds_ * jitter(random_)));
    backoff_seconds_ = std::min(backoff_seconds_ * 2, kMaxBackoffSeconds);
    return absl::OkStatus();
  }

  const ObserveOptions& options_;
  const ObserveServer& server_;
  const ObserveOutput& output_;
  std::unique_ptr<v1::QueryService::StubInterface> stub_;
  std::string cursor_;
  // Hashes of the ids that List() printed, as long as --follow may bring them again.
  absl::flat_hash_set<size_t> listed_;
  bool is_lost_ = false;
  bool was_connected_ = false;
  double backoff_seconds_ = kFirstBackoffSeconds;
  std::minstd_rand random_{std::random_device()()};
};

}  // namespace

absl::Status Observe(const ObserveOptions& options, const ObserveServer& server,
                     const ObserveOutput& output) {
  const absl::Status status = Observer(options, server, output).Run();
  return status == OutputEnded() ? absl::OkStatus() : status;
}

}  // namespace podtap::cli
