#include "collector/health_service.h"

#include <vector>

namespace podtap {
namespace {

using grpc::health::v1::HealthCheckRequest;
using grpc::health::v1::HealthCheckResponse;

constexpr size_t kMaxWatches = 256;

bool IsKnown(const std::string& service) {
  return service.empty() || service == "podtap.v1.IngestService" ||
         service == "podtap.v1.QueryService";
}

}  // namespace

// One watching client: the state now, and the end when the collector stops. Keeps itself alive
// until OnDone().
class HealthWatch final : public grpc::ServerWriteReactor<HealthCheckResponse>,
                          public std::enable_shared_from_this<HealthWatch> {
 public:
  HealthWatch(HealthService* service, bool is_known) : service_(service), is_known_(is_known) {}

  void Start() {
    const std::lock_guard lock(mutex_);
    self_ = shared_from_this();
    Write(is_known_ ? HealthCheckResponse::SERVING : HealthCheckResponse::SERVICE_UNKNOWN);
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

  void WriteEnd() {
    if (finished_ || end_written_) {
      return;
    }
    end_written_ = true;
    Write(is_known_ ? HealthCheckResponse::NOT_SERVING : HealthCheckResponse::SERVICE_UNKNOWN);
  }

  void FinishOnce() {
    if (!finished_) {
      finished_ = true;
      Finish({grpc::StatusCode::UNAVAILABLE, "the collector is stopping"});
    }
  }

  HealthService* const service_;
  const bool is_known_;
  std::mutex mutex_;
  std::shared_ptr<HealthWatch> self_;
  HealthCheckResponse response_;
  bool writing_ = false;
  bool stopping_ = false;
  bool end_written_ = false;
  bool finished_ = false;
};

grpc::ServerUnaryReactor* HealthService::Check(grpc::CallbackServerContext* context,
                                               const HealthCheckRequest* request,
                                               HealthCheckResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (!IsKnown(request->service())) {
    reactor->Finish({grpc::StatusCode::NOT_FOUND, "no such service"});
    return reactor;
  }
  const std::lock_guard lock(mutex_);
  response->set_status(stopping_ ? HealthCheckResponse::NOT_SERVING : HealthCheckResponse::SERVING);
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
  auto watch = std::make_shared<HealthWatch>(this, IsKnown(request->service()));
  {
    const std::lock_guard lock(mutex_);
    if (stopping_) {
      return new Refusal({grpc::StatusCode::UNAVAILABLE, "the collector is stopping"});
    }
    if (watches_.size() >= kMaxWatches) {
      return new Refusal({grpc::StatusCode::RESOURCE_EXHAUSTED, "too many watches"});
    }
    watches_[watch.get()] = watch;
  }
  watch->Start();
  return watch.get();
}

void HealthService::Stop() {
  std::vector<std::shared_ptr<HealthWatch>> open;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const auto& [pointer, weak] : watches_) {
      if (std::shared_ptr<HealthWatch> watch = weak.lock()) {
        open.push_back(std::move(watch));
      }
    }
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
