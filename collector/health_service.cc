#include "collector/health_service.h"

#include <utility>

namespace podtap {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

constexpr size_t kMaxWatches = 256;

constexpr char kQueryService[] = "podtap.v1.QueryService";

bool IsKnown(const std::string& service) {
  return service.empty() || service == "podtap.v1.IngestService" || service == kQueryService;
}

}  // namespace

// One watching client: the state now, each change, and the end when the collector stops. Keeps
// itself alive until OnDone().
class HealthWatch final : public grpc::ServerWriteReactor<HealthCheckResponse>,
                          public std::enable_shared_from_this<HealthWatch> {
 public:
  HealthWatch(HealthService* service, std::string name)
      : service_(service), name_(std::move(name)) {}

  const std::string& name() const { return name_; }

  void Start(HealthCheckResponse::ServingStatus status) {
    const std::lock_guard lock(mutex_);
    self_ = shared_from_this();
    wanted_ = status;
    WriteWanted();
  }

  void Change(HealthCheckResponse::ServingStatus status) {
    const std::lock_guard lock(mutex_);
    wanted_ = status;
    if (!writing_) {
      WriteWanted();
    }
  }

  void Stop() {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    if (!writing_) {
      WriteEnd();
    }
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    writing_ = false;
    if (!ok || end_written_) {
      FinishOnce();
    } else if (stopping_) {
      WriteEnd();
    } else {
      WriteWanted();
    }
  }

  void OnCancel() override {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    end_written_ = true;
    if (!writing_) {
      FinishOnce();
    }
  }

  void OnDone() override {
    service_->Forget(this);
    std::shared_ptr<HealthWatch> self;
    {
      const std::lock_guard lock(mutex_);
      self.swap(self_);
    }
    // `self` may be the last owner: nothing may be touched behind this.
  }

 private:
  void Write(HealthCheckResponse::ServingStatus status) {
    response_.set_status(status);
    writing_ = true;
    StartWrite(&response_);
  }

  // A state that came and went while another was being written is left out.
  void WriteWanted() {
    if (!finished_ && !end_written_ && wanted_ != response_.status()) {
      Write(wanted_);
    }
  }

  void WriteEnd() {
    if (finished_ || end_written_) {
      return;
    }
    end_written_ = true;
    Write(IsKnown(name_) ? HealthCheckResponse::NOT_SERVING : HealthCheckResponse::SERVICE_UNKNOWN);
  }

  void FinishOnce() {
    if (!finished_) {
      finished_ = true;
      Finish({grpc::StatusCode::UNAVAILABLE, "the collector is stopping"});
    }
  }

  HealthService* const service_;
  const std::string name_;
  std::mutex mutex_;
  std::shared_ptr<HealthWatch> self_;
  HealthCheckResponse response_;
  HealthCheckResponse::ServingStatus wanted_ = HealthCheckResponse::UNKNOWN;
  bool writing_ = false;
  bool stopping_ = false;
  bool end_written_ = false;
  bool finished_ = false;
};

HealthCheckResponse::ServingStatus HealthService::StatusOf(const std::string& service) const {
  if (!IsKnown(service)) {
    return HealthCheckResponse::SERVICE_UNKNOWN;
  }
  const bool serving = !stopping_ && (store_takes_writes_ || service == kQueryService);
  return serving ? HealthCheckResponse::SERVING : HealthCheckResponse::NOT_SERVING;
}

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* context,
                                               const HealthCheckRequest* request,
                                               HealthCheckResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (!IsKnown(request->service())) {
    reactor->Finish({grpc::StatusCode::NOT_FOUND, "no such service"});
    return reactor;
  }
  const std::lock_guard lock(mutex_);
  response->set_status(StatusOf(request->service()));
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerWriteReactor<HealthCheckResponse>* HealthService::Watch(
    grpc::CallbackServerContext*, const HealthCheckRequest* request) {
  // Answers a watch that is not let in.
  class Refusal final : public grpc::ServerWriteReactor<HealthCheckResponse> {
   public:
    explicit Refusal(const grpc::Status& status) { Finish(status); }
    void OnDone() override { delete this; }
  };
  auto watch = std::make_shared<HealthWatch>(this, request->service());
  const std::lock_guard lock(mutex_);
  if (stopping_) {
    return new Refusal({grpc::StatusCode::UNAVAILABLE, "the collector is stopping"});
  }
  if (watches_.size() >= kMaxWatches) {
    return new Refusal({grpc::StatusCode::RESOURCE_EXHAUSTED, "too many watches"});
  }
  watches_[watch.get()] = watch;
  // Under the lock, so that no change is missed in between.
  watch->Start(StatusOf(request->service()));
  return watch.get();
}

std::vector<std::shared_ptr<HealthWatch>> HealthService::OpenWatches() const {
  std::vector<std::shared_ptr<HealthWatch>> open;
  for (const auto& [pointer, weak] : watches_) {
    if (std::shared_ptr<HealthWatch> watch = weak.lock()) {
      open.push_back(std::move(watch));
    }
  }
  return open;
}

void HealthService::SetStoreTakesWrites(bool takes_writes) {
  const std::lock_guard lock(mutex_);
  store_takes_writes_ = takes_writes;
  for (const auto& watch : OpenWatches()) {
    watch->Change(StatusOf(watch->name()));
  }
}

void HealthService::Stop() {
  std::vector<std::shared_ptr<HealthWatch>> open;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    open = OpenWatches();
  }
  for (const auto& watch : open) {
    watch->Stop();
  }
}

void HealthService::Forget(const HealthWatch* watch) {
  const std::lock_guard lock(mutex_);
  watches_.erase(watch);
}

}  // namespace podtap
