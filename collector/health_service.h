// grpc.health.v1.Health. gRPC's built-in health service can't be described by reflection, so this
// one is made from the published proto.
#pragma once

#include <grpcpp/grpcpp.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "grpc/health/v1/health.grpc.pb.h"

namespace podtap {

class HealthWatch;

// Serves "", "podtap.v1.IngestService" and "podtap.v1.QueryService": SERVING until Stop(), but for
// the first two while the store takes no writes; what is stored can be asked for even then.
// Thread-safe; outlives the gRPC server.
class HealthService final : public grpc::health::v1::Health::CallbackService {
 public:
  grpc::ServerUnaryReactor* Check(grpc::CallbackServerContext* context,
                                  const grpc::health::v1::HealthCheckRequest* request,
                                  grpc::health::v1::HealthCheckResponse* response) override;
  grpc::ServerWriteReactor<grpc::health::v1::HealthCheckResponse>* Watch(
      grpc::CallbackServerContext* context,
      const grpc::health::v1::HealthCheckRequest* request) override;

  // Those who watch are told of a change.
  void SetStoreTakesWrites(bool takes_writes);

  // Everything is NOT_SERVING from now on; those who watch are told, and their streams end.
  void Stop();

  // Called by a watch when it has ended.
  void Forget(const HealthWatch* watch);

 private:
  grpc::health::v1::HealthCheckResponse::ServingStatus StatusOf(const std::string& service) const;
  std::vector<std::shared_ptr<HealthWatch>> OpenWatches() const;

  // Taken before the mutex of a watch.
  std::mutex mutex_;
  bool stopping_ = false;
  bool store_takes_writes_ = true;
  // Watches own themselves until gRPC is done with them.
  std::map<const HealthWatch*, std::weak_ptr<HealthWatch>> watches_;
};

}  // namespace podtap
