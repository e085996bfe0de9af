// grpc.health.v1.Health. gRPC's built-in health service can't be described by reflection, so this
// one is made from the published proto.
#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "grpc/health/v1/health.grpc.pb.h"

namespace podtap {

class HealthWatch;

// Serves "", "podtap.v1.IngestService" and "podtap.v1.QueryService": SERVING until Stop().
// Thread-safe; outlives the gRPC server.
class HealthService final : public grpc::health::v1::Health::CallbackService {
 public:
  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const grpc::health::v1::HealthCheckRequest* request,
                                  grpc::health::v1::HealthCheckResponse* response) override;
  grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext* context,
      const grpc::health::v1::HealthCheckRequest* request) override;

  // Everything is NOT_SERVING from now on; those who watch are told, and their streams end.
  void Stop();

  // Called by a watch when it has ended.
  void Forget(const HealthWatch* watch);

 private:
  std::mutex mutex_;
  bool stopping_ = false;
  // Watches own themselves until gRPC is done with them.
  std::map<const HealthWatch*, std::weak_ptr<HealthWatch>> watches_;
};

}  // namespace podtap
