// Ingest, over gRPC on loopback.
#include <grpcpp/generic/generic_stub.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <map>
#include <optional>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/collector/collector_fixture.h"

namespace podtap {
namespace {

TEST_F(CollectorTest, StoresBeforeItAcknowledges) {
  TestAgent agent(channel_);
  EXPECT_TRUE(agent.Hello(1).has_hello_ack());
  for (int i = 0; i < 10; ++i) {
    agent.SendBatch(MakeBatch(1, 1 + static_cast<uint64_t>(i) * 5, 5));
  }
  for (uint64_t acked = 0; acked < 50;) {
    const v1::StreamEventsResponse response = agent.Receive();
    ASSERT_TRUE(response.has_ack());
    acked = response.ack().acked_sequence();
    EXPECT_GE(collector_->store().State().events, acked);
  }
  EXPECT_EQ(List().events_size(), 50);
  EXPECT_TRUE(agent.End().ok());
  ExpectLedgerAddsUp();
}

TEST_F(CollectorTest, SaysWhereToResume) {
  {
    TestAgent agent(channel_);
    agent.Hello(1);
    agent.SendBatch(MakeBatch(1, 1, 5));
    ASSERT_TRUE(agent.WaitForAck(1, 5));
  }
  Start();
  TestAgent agent(channel_);
  const v1::StreamEventsResponse hello = agent.Hello(2);
  ASSERT_EQ(hello.hello_ack().positions_size(), 1);
  EXPECT_EQ(hello.hello_ack().protocol_version(), 1u);
  EXPECT_EQ(hello.hello_ack().positions(0).epoch(), 1u);
  EXPECT_EQ(hello.hello_ack().positions(0).acked_sequence(), 5u);
  // An earlier epoch first, sent again in part; then the new one.
  agent.SendBatch(MakeBatch(1, 4, 4));
  agent.SendBatch(MakeBatch(2, 1, 2));
  ASSERT_TRUE(agent.WaitForAck(2, 2));
  EXPECT_EQ(List().events_size(), 9);
  EXPECT_EQ(Count("events_duplicate"), 2u);
  EXPECT_EQ(Count("events_stored"), 4u);
  ExpectLedgerAddsUp();
}

TEST_F(CollectorTest, ANewerStreamTakesOver) {
  TestAgent old_agent(channel_);
  old_agent.Hello(1);
  TestAgent new_agent(channel_);
  EXPECT_TRUE(new_agent.Hello(2).has_hello_ack());
  EXPECT_EQ(old_agent.WaitForClose(), v1::CLOSE_REASON_TAKEN_OVER);
  EXPECT_EQ(old_agent.End().error_code(), grpc::StatusCode::ABORTED);
  new_agent.SendBatch(MakeBatch(2, 1, 1));
  EXPECT_TRUE(new_agent.WaitForAck(2, 1));
  const v1::GetServerStatusResponse status = ServerStatus();
  ASSERT_EQ(status.agents_size(), 1);
  EXPECT_TRUE(status.agents(0).connected());
  EXPECT_EQ(status.agents(0).epoch(), "0000000000000002");
}

TEST_F(CollectorTest, RefusesABadHello) {
  const auto close_for = [&](const std::function<void(v1::StreamEventsRequest&)>& spoil) {
    TestAgent agent(channel_);
    v1::StreamEventsRequest request;
    request.mutable_hello()->set_node_name("node-a");
    request.mutable_hello()->set_epoch(1);
    request.mutable_hello()->set_protocol_version(1);
    spoil(request);
    agent.Send(request);
    const v1::CloseReason reason = agent.WaitForClose();
    EXPECT_EQ(agent.End().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    return reason;
  };
  constexpr auto kError = v1::CLOSE_REASON_PROTOCOL_ERROR;
  EXPECT_EQ(close_for([](auto& r) { r.mutable_hello()->clear_node_name(); }), kError);
  EXPECT_EQ(close_for([](auto& r) { r.mutable_hello()->set_node_name("a\nb"); }), kError);
  EXPECT_EQ(close_for([](auto& r) { r.mutable_hello()->set_node_name(std::string(254, 'a')); }),
            kError);
  EXPECT_EQ(close_for([](auto& r) { r.mutable_hello()->clear_epoch(); }), kError);
  EXPECT_EQ(close_for([](auto& r) { r.mutable_hello()->set_protocol_version(2); }), kError);
  EXPECT_EQ(close_for([](auto& r) { *r.mutable_batch() = MakeBatch(1, 1, 1); }), kError);
  EXPECT_EQ(close_for([](auto& r) { r.Clear(); }), kError);
  EXPECT_EQ(Count("protocol_errors"), 7u);
  EXPECT_EQ(ServerStatus().agents_size(), 0);
}

TEST_F(CollectorTest, ASecondHelloOrAnImpossibleRangeEndsTheStream) {
  TestAgent twice(channel_);
  twice.Hello(1);
  EXPECT_EQ(twice.Hello(1).close().reason(), v1::CLOSE_REASON_PROTOCOL_ERROR);
  TestAgent impossible(channel_);
  impossible.Hello(1);
  impossible.SendDropped(1, 9, 8);
  EXPECT_EQ(impossible.WaitForClose(), v1::CLOSE_REASON_PROTOCOL_ERROR);
}

TEST_F(CollectorTest, RejectsAMalformedBatchAlone) {
  TestAgent agent(channel_);
  agent.Hello(1);
  agent.SendBatch(MakeBatch(1, 1, 2));
  v1::EventBatch bad = MakeBatch(1, 3, 4);
  bad.mutable_events(2)->set_path_string(9999);
  agent.SendBatch(bad);
  agent.SendBatch(MakeBatch(1, 7, 2));
  ASSERT_TRUE(agent.WaitForAck(1, 8));
  const v1::ListEventsResponse list = List();
  EXPECT_EQ(list.events_size(), 4);
  ASSERT_EQ(list.losses_size(), 1);
  EXPECT_EQ(list.losses(0).stage(), v1::LEDGER_STAGE_COLLECTOR);
  EXPECT_EQ(list.losses(0).name(), "rejected");
  EXPECT_EQ(list.losses(0).count(), 4u);
  EXPECT_EQ(Count("events_rejected"), 4u);
  ExpectLedgerAddsUp();
}

TEST_F(CollectorTest, RecordsDroppedRangesAndHoles) {
  TestAgent agent(channel_);
  agent.Hello(1);
  agent.SendDropped(1, 1, 10);
  agent.SendBatch(MakeBatch(1, 11, 2));
  agent.SendBatch(MakeBatch(1, 16, 1));
  ASSERT_TRUE(agent.WaitForAck(1, 16));
  std::map<std::string, uint64_t> losses;
  const v1::ListEventsResponse list = List();
  for (const v1::Loss& loss : list.losses()) {
    losses[v1::LedgerStage_Name(loss.stage()) + " " + loss.name()] = loss.count();
  }
  EXPECT_EQ(losses, (std::map<std::string, uint64_t>{{"LEDGER_STAGE_EXPORTER log_full", 10},
                                                     {"LEDGER_STAGE_COLLECTOR sequence_hole", 3}}));
}

TEST_F(CollectorTest, KeepsTheNewestStatus) {
  TestAgent agent(channel_);
  agent.Hello(1);
  v1::StreamEventsRequest request;
  v1::AgentStatus& status = *request.mutable_status();
  status.set_taps(3);
  status.set_last_sequence(1);
  const auto add = [&](v1::LedgerStage stage, const std::string& name, bool is_loss) {
    v1::LedgerEntry& entry = *status.add_ledger();
    entry.set_stage(stage);
    entry.set_name(name);
    entry.set_count(7);
    entry.set_is_loss(is_loss);
  };
  add(v1::LEDGER_STAGE_KERNEL, "ring_full", true);
  add(v1::LEDGER_STAGE_HTTP, "heads", false);
  add(v1::LEDGER_STAGE_UNSPECIFIED, "x", true);
  add(v1::LEDGER_STAGE_HTTP, std::string(65, 'x'), true);
  v1::TlsUse& use = *status.add_tls_uses();
  use.set_reporter(v1::REPORTER_CLIENT);
  use.set_server_name("a\x1b.example");
  status.add_tls_uses()->set_server_name("of nobody");
  agent.Send(request);
  agent.SendBatch(MakeBatch(1, 1, 1));
  ASSERT_TRUE(agent.WaitForAck(1, 1));
  const v1::GetServerStatusResponse server = ServerStatus();
  ASSERT_EQ(server.agents_size(), 1);
  const v1::AgentState& state = server.agents(0);
  EXPECT_EQ(state.node_name(), "node-a");
  EXPECT_EQ(state.cluster_name(), "test");
  EXPECT_EQ(state.agent_version(), "0.1.0");
  EXPECT_EQ(state.acked_sequence(), 1u);
  EXPECT_EQ(state.status().taps(), 3u);
  EXPECT_EQ(state.status().ledger_size(), 2);
  ASSERT_EQ(state.status().tls_uses_size(), 1);
  EXPECT_EQ(state.status().tls_uses(0).server_name(), "a%1B.example");
  EXPECT_EQ(Count("status_lines_ignored"), 3u);
  const v1::ListEventsResponse list = List();
  ASSERT_EQ(list.losses_size(), 1);
  EXPECT_EQ(list.losses(0).name(), "ring_full");
}

TEST_F(CollectorTest, ReportsItsState) {
  TestAgent agent(channel_);
  agent.Hello(1);
  agent.SendBatch(MakeBatch(1, 1, 2));
  ASSERT_TRUE(agent.WaitForAck(1, 2));
  v1::GetServerStatusResponse status = ServerStatus();
  EXPECT_EQ(status.version(), PODTAP_VERSION);
  EXPECT_GT(status.start_time().seconds(), 0);
  EXPECT_EQ(status.stored_events(), 2u);
  EXPECT_GT(status.store_bytes(), 0u);
  EXPECT_EQ(status.oldest_event_time().seconds(), kNoonNs / kSecondNs);
  EXPECT_EQ(status.newest_event_time().nanos(), 1'000'000);
  EXPECT_TRUE(agent.End().ok());
  for (int i = 0; i < 1000 && status.agents(0).connected(); ++i) {
    status = ServerStatus();
  }
  EXPECT_FALSE(status.agents(0).connected());
}

}  // namespace
}  // namespace podtap
