// What the agent's side writes is what the collector's side reads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "agent/exporter/collector_client.h"
#include "agent/exporter/event_log.h"
#include "collector/ingest/ingest_service.h"
#include "collector/store/sqlite/sqlite_store.h"
#include "common/clock.h"
#include "grpcpp/grpcpp.h"
#include "tests/support/temp_dir.h"
#include "tests/unit/exporter/event_builder.h"

namespace podtap::exporter {
namespace {

// A collector's ingest and store on a loopback port, in a directory that goes away.
class CollectorRoundTripTest : public testing::Test {
 protected:
  void SetUp() override {
    auto store = store::sqlite::SqliteStore::Open({.directory = directory_.path()}, &clock_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
    service_ = std::make_unique<ingest::IngestService>(store_.get(), &clock_);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    options_.collector = {.host = "127.0.0.1", .port = static_cast<uint16_t>(port)};
    options_.origin = kOrigin;
  }
  void TearDown() override {
    if (server_ != nullptr) {
      server_->Shutdown(std::chrono::system_clock::now());
    }
    server_ = nullptr;
    service_ = nullptr;
    store_ = nullptr;
  }

  std::vector<std::string> Stored() {
    std::vector<std::string> events;
    const auto end =
        store_->Scan({.order = store::ScanOrder::kRowAscending},
                     {.on_event = [&](const store::ScanPosition&, v1::HttpEvent event) {
                       events.push_back(event.DebugString());
                       return true;
                     }});
    EXPECT_TRUE(end.ok()) << end.status();
    return events;
  }

  SystemClock clock_;
  TempDir directory_;
  std::unique_ptr<store::EventStore> store_;
  std::unique_ptr<ingest::IngestService> service_;
  std::unique_ptr<grpc::Server> server_;
  CollectorClientOptions options_;
  EventLog log_{{.origin = kOrigin, .batch = {.max_events = 2}}, clock_};
};

TEST_F(CollectorRoundTripTest, EveryFieldArrives) {
  const int64_t now_ns = clock_.WallNs();
  std::vector<enrichment::Event> events = {MakeFullEvent(), MakeEvent("/b"), MakeFullEvent(),
                                           MakeEvent("/d"), MakeEvent("/e")};
  std::vector<std::string> expected;
  for (size_t i = 0; i < events.size(); ++i) {
    // In no order, as exchanges end.
    events[i].start_unix_ns = now_ns - static_cast<int64_t>(i * 7 % 5) * 1'000'001;
    v1::HttpEvent event;
    EncodeEvent(events[i], kOrigin, i + 1, event);
    expected.push_back(event.DebugString());
    log_.OnEvent(events[i]);
  }
  CollectorClient client(options_, log_, clock_, [](v1::AgentStatus&) {});
  client.Start();
  EXPECT_EQ(client.Stop(std::chrono::seconds(10)), 0u);
  EXPECT_EQ(Stored(), expected);
  EXPECT_EQ(log_.counters().acked, events.size());
}

TEST_F(CollectorRoundTripTest, DroppedRangesAreAcknowledged) {
  EventLog small({.origin = kOrigin, .max_bytes = 2'000, .batch = {.max_events = 10}}, clock_);
  for (int i = 0; i < 500; ++i) {
    small.OnEvent(MakeEvent());
  }
  const uint64_t dropped = small.counters().dropped;
  ASSERT_GT(dropped, 0u);
  CollectorClient client(options_, small, clock_, [](v1::AgentStatus&) {});
  client.Start();
  EXPECT_EQ(client.Stop(std::chrono::seconds(10)), 0u);
  EXPECT_EQ(small.counters().acked, 500 - dropped);
  EXPECT_EQ(Stored().size(), 500 - dropped);
  EXPECT_EQ(small.acked_sequence(), 500u);
}

}  // namespace
}  // namespace podtap::exporter
