#include "agent/exporter/collector_client.h"

#include <algorithm>
#include <optional>
#include <random>
#include <utility>

#include "common/log.h"
#include "common/status.h"
#include "common/tls_refusal.h"

namespace podtap::exporter {
namespace {

using std::chrono::steady_clock;

// While stopping there is no time for patience.
constexpr int64_t kRetryWhileStoppingNs = 200'000'000;
// A stop waits for it.
constexpr std::chrono::milliseconds kExplainTime{1'000};

std::function<double()> RandomSource() {
  return [engine = std::mt19937_64(std::random_device()())]() mutable {
    return std::uniform_real_distribution<double>(0.0, 1.0)(engine);
  };
}

}  // namespace

CollectorClient::CollectorClient(CollectorClientOptions options, EventLog& log, const Clock& clock,
                                 StatusFiller fill_status)
    : options_(std::move(options)),
      log_(log),
      clock_(clock),
      fill_status_(std::move(fill_status)),
      backoff_(options_.backoff, RandomSource()) {}

CollectorClient::~CollectorClient() {
  if (thread_.joinable()) {
    Stop(std::chrono::milliseconds(0));
  }
}

void CollectorClient::Start() {
  PODTAP_CHECK(!thread_.joinable());
  thread_ = std::thread([this] { Run(); });
}

uint64_t CollectorClient::Stop(std::chrono::milliseconds timeout) {
  stop_.Request(steady_clock::now() + timeout);
  if (thread_.joinable()) {
    thread_.join();
  }
  return log_.counters().queued;
}

bool CollectorClient::IsDone() const {
  const std::optional<StopGate::TimePoint> deadline = stop_.deadline();
  return deadline && (steady_clock::now() >= *deadline || log_.counters().queued == 0);
}

void CollectorClient::Run() {
  while (!IsDone()) {
    bool taken_over = false;
    {
      CollectorSession session(options_, log_, clock_, fill_status_, stop_, counters_);
      const absl::Status end = session.Run([this] { OnWorking(); });
      connected_ = false;
      if (session.progressed()) {
        backoff_.Reset();
      }
      if (end.ok() || IsDone()) {
        return;
      }
      OnFailed(end, session);
      taken_over = session.close_reason() == v1::CLOSE_REASON_TAKEN_OVER;
    }
    if (taken_over) {
      // Two agents of one node name would take turns for ever; let that be seldom.
      backoff_.SetToMax();
    }
    int64_t delay_ns = backoff_.NextDelayNs();
    if (IsDone()) {
      return;
    }
    if (stop_.deadline()) {
      // The gate no longer sleeps once it has been asked.
      delay_ns = std::min(delay_ns, kRetryWhileStoppingNs);
      std::this_thread::sleep_for(std::chrono::nanoseconds(delay_ns));
    } else {
      stop_.Sleep(std::chrono::nanoseconds(delay_ns));
    }
  }
}

void CollectorClient::OnWorking() {
  connected_ = true;
  if (outage_) {
    PODTAP_LOG_INFO("collector {} is back", options_.collector.ToString());
  } else {
    PODTAP_LOG_INFO("connected to collector {}", options_.collector.ToString());
  }
  outage_ = false;
  refusal_.clear();
}

std::string CollectorClient::Explain() const {
  const std::shared_ptr<const TlsMaterial> material =
      options_.tls != nullptr ? options_.tls->current() : nullptr;
  return ExplainRefusal(options_.collector, material.get(), kExplainTime);
}

void CollectorClient::OnFailed(const absl::Status& cause, const CollectorSession& session) {
  ++counters_.streams_failed;
  std::string refusal;
  // A name that gRPC could not resolve would only take the time to fail again.
  const bool resolved = cause.message().find("DNS resolution failed") == absl::string_view::npos;
  if (resolved && !session.connected() && (!outage_ || options_.tls != nullptr)) {
    refusal = Explain();
  }
  if (outage_ && (refusal.empty() || refusal == refusal_)) {
    return;
  }
  outage_ = true;
  const char* what = session.close_reason() == v1::CLOSE_REASON_STORE_UNAVAILABLE
                         ? "takes no events"
                         : "can't be reached";
  const char* advice = session.close_reason() == v1::CLOSE_REASON_TAKEN_OVER
                           ? "is another agent running with this node name?"
                           : "events are kept in memory meanwhile";
  PODTAP_LOG_WARN("collector {} {}: {}; {}", options_.collector.ToString(), what,
                  refusal.empty() ? std::string(cause.message()) : refusal, advice);
  refusal_ = std::move(refusal);
}

}  // namespace podtap::exporter
