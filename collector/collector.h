// The collector put together: store, services, server.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "collector/health_service.h"
#include "collector/ingest/ingest_service.h"
#include "collector/query/query_service.h"
#include "collector/store/event_store.h"
#include "collector/store/sqlite/sqlite_store.h"
#include "common/admin_server.h"
#include "common/clock.h"
#include "common/grpc_target.h"
#include "common/tls_files.h"

namespace podtap {

struct CollectorOptions {
  HostPort listen{.host = "127.0.0.1", .port = 4270, .is_loopback = true};
  // Null for plain text. Shared with the credentials made of it.
  std::shared_ptr<TlsFiles> tls;
  // Where probes and metrics are answered; nowhere when absent.
  std::optional<HostPort> admin_listen;
  store::sqlite::StoreOptions store;
  query::QueryOptions query;
};

// Thread-safe after Start(). The destructor stops what Stop() has not.
class Collector {
 public:
  // Opens the store and listens. `clock` outlives the collector. Errors name what can't be used.
  static absl::StatusOr<std::unique_ptr<Collector>> Start(const CollectorOptions& options,
                                                          const Clock* clock);
  ~Collector();

  // The address in use; its port is the one bound when 0 was asked for.
  const HostPort& address() const { return address_; }

  // The same of the admin port; null without one.
  const HostPort* admin_address() const { return admin_ ? &admin_->address() : nullptr; }

  // Ends all streams, each with a reason, stores what is under way, and stops listening. Takes at
  // most about 1.5 seconds.
  void Stop();

  store::sqlite::SqliteStore& store() { return *store_; }

 private:
  Collector() = default;
  absl::Status Listen(const CollectorOptions& options);
  // What the admin port answers.
  std::vector<AdminPage> Pages() const;
  AdminReply Readiness() const;

  HostPort address_;
  // Before the store, which tells it of its state.
  HealthService health_;
  std::unique_ptr<store::sqlite::SqliteStore> store_;
  std::unique_ptr<ingest::IngestService> ingest_;
  std::unique_ptr<query::QueryService> query_;
  std::shared_ptr<grpc::ServerCredentials> credentials_;
  // Last: they stop before what they use and serve goes.
  std::unique_ptr<grpc::Server> server_;
  std::atomic<bool> stopping_{false};
  std::unique_ptr<AdminServer> admin_;
};

}  // namespace podtap
