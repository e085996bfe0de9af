// The whole collector, over gRPC on loopback.
#include "collector/collector.h"

#include <grpcpp/generic/generic_stub.h>
#include <sys/resource.h>

#include <chrono>
#include <csignal>
#include <map>
#include <optional>
#include <thread>

#include "collector/query/token.h"
#include "gmock/gmock.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "gtest/gtest.h"
#include "podtap/v1/ingest_service.grpc.pb.h"
#include "podtap/v1/query_service.grpc.pb.h"
#include "tests/unit/collector/support.h"

namespace podtap {
namespace {

using grpc::health::v1::HealthCheckResponse;

// One agent's stream.
class TestAgent {
 public:
  explicit TestAgent(const std::shared_ptr<grpc::Channel>& channel)
      : stub_(v1::IngestService::NewStub(channel)) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    stream_ = stub_->StreamEvents(&context_);
  }

  v1::StreamEventsResponse Hello(uint64_t epoch, const std::string& node = "node-a") {
    v1::StreamEventsRequest request;
    request.mutable_hello()->set_node_name(node);
    request.mutable_hello()->set_cluster_name("test");
    request.mutable_hello()->set_epoch(epoch);
    request.mutable_hello()->set_protocol_version(1);
    request.mutable_hello()->set_agent_version("0.1.0");
    Send(request);
    return Receive();
  }
  void Send(const v1::StreamEventsRequest& request) { stream_->Write(request); }
  void SendBatch(const v1::EventBatch& batch) {
    v1::StreamEventsRequest request;
    *request.mutable_batch() = batch;
    Send(request);
  }
  void SendDropped(uint64_t epoch, uint64_t first, uint64_t last) {
    v1::StreamEventsRequest request;
    request.mutable_dropped()->set_epoch(epoch);
    request.mutable_dropped()->set_first_sequence(first);
    request.mutable_dropped()->set_last_sequence(last);
    Send(request);
  }
  // The next message; one that is not set at the end of the stream.
  v1::StreamEventsResponse Receive() {
    v1::StreamEventsResponse response;
    if (!stream_->Read(&response)) {
      response.Clear();
    }
    return response;
  }
  // Reads until the epoch is acknowledged up to `sequence`.
  bool WaitForAck(uint64_t epoch, uint64_t sequence) {
    while (true) {
      const v1::StreamEventsResponse response = Receive();
      if (!response.has_ack()) {
        return false;
      }
      if (response.ack().epoch() == epoch && response.ack().acked_sequence() >= sequence) {
        return true;
      }
    }
  }
  // Reads until the collector closes.
  v1::CloseReason WaitForClose() {
    while (true) {
      const v1::StreamEventsResponse response = Receive();
      if (!response.has_ack()) {
        return response.close().reason();
      }
    }
  }
  grpc::Status End() {
    stream_->WritesDone();
    while (Receive().message_case() != v1::StreamEventsResponse::MESSAGE_NOT_SET) {
    }
    return stream_->Finish();
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<v1::IngestService::Stub> stub_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::StreamEventsRequest, v1::StreamEventsResponse>>
      stream_;
};

// One followed stream.
class TestFollower {
 public:
  TestFollower(const std::shared_ptr<grpc::Channel>& channel,
               const v1::FollowEventsRequest& request)
      : stub_(v1::QueryService::NewStub(channel)) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    reader_ = stub_->FollowEvents(&context_, request);
  }
  ~TestFollower() { context_.TryCancel(); }

  std::optional<v1::FollowEventsResponse> Next() {
    v1::FollowEventsResponse response;
    return reader_->Read(&response) ? std::optional(response) : std::nullopt;
  }
  // Paths of the next `count` events; keeps the last cursor.
  std::string NextPaths(int count) {
    std::string paths;
    while (count > 0) {
      const auto response = Next();
      if (!response) {
        return paths + "(end)";
      }
      cursor = response->cursor();
      if (response->has_event()) {
        paths += response->event().request().path();
        --count;
      }
    }
    return paths;
  }
  grpc::Status Finish() { return reader_->Finish(); }

  std::string cursor;

 private:
  grpc::ClientContext context_;
  std::unique_ptr<v1::QueryService::Stub> stub_;
  std::unique_ptr<grpc::ClientReader<v1::FollowEventsResponse>> reader_;
};

class CollectorTest : public testing::Test {
 protected:
  CollectorTest() {
    options_.listen.port = 0;
    options_.store.directory = directory_.path();
    Start();
  }

  void Start() {
    collector_.reset();
    auto collector = Collector::Start(options_, &clock_);
    ASSERT_TRUE(collector.ok()) << collector.status();
    collector_ = *std::move(collector);
    channel_ = NewChannel();
    query_ = v1::QueryService::NewStub(channel_);
  }

  // Connections are not shared between channels.
  std::shared_ptr<grpc::Channel> NewChannel() {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel(collector_->address().ToString(),
                                     grpc::InsecureChannelCredentials(), arguments);
  }

  v1::ListEventsResponse List(const v1::ListEventsRequest& request = {}) {
    grpc::ClientContext context;
    v1::ListEventsResponse response;
    const grpc::Status status = query_->ListEvents(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  v1::GetServerStatusResponse ServerStatus() {
    grpc::ClientContext context;
    v1::GetServerStatusResponse response;
    EXPECT_TRUE(query_->GetServerStatus(&context, {}, &response).ok());
    return response;
  }

  uint64_t Count(const std::string& name) {
    const v1::GetServerStatusResponse status = ServerStatus();
    for (const v1::LedgerEntry& entry : status.ledger()) {
      if (entry.name() == name) {
        return entry.count();
      }
    }
    ADD_FAILURE() << "no ledger line " << name;
    return 0;
  }

  // received = stored + duplicate + rejected + not stored.
  void ExpectLedgerAddsUp() {
    EXPECT_EQ(Count("events_received"), Count("events_stored") + Count("events_duplicate") +
                                            Count("events_rejected") + Count("events_not_stored"));
  }

  TempDir directory_;
  SystemClock clock_;
  CollectorOptions options_;
  std::unique_ptr<Collector> collector_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::QueryService::Stub> query_;
};

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
  EXPECT_EQ(Count("status_lines_ignored"), 2u);
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

TEST_F(CollectorTest, FollowsAcrossReconnectsWithoutLoss) {
  TestAgent agent(channel_);
  agent.Hello(1);
  agent.SendBatch(MakeBatch(1, 1, 3));
  ASSERT_TRUE(agent.WaitForAck(1, 3));
  v1::FollowEventsRequest request;
  request.set_last(2);
  {
    TestFollower follower(NewChannel(), request);
    const auto first = follower.Next();
    ASSERT_TRUE(first);
    EXPECT_FALSE(first->has_event());
    EXPECT_FALSE(first->cursor().empty());
    EXPECT_EQ(follower.NextPaths(2), "/2/3");
    agent.SendBatch(MakeBatch(1, 4, 2));
    EXPECT_EQ(follower.NextPaths(1), "/4");
    request.set_cursor(follower.cursor);
  }
  agent.SendBatch(MakeBatch(1, 6, 1));
  ASSERT_TRUE(agent.WaitForAck(1, 6));
  // The collector too may restart.
  Start();
  TestFollower follower(channel_, request);
  EXPECT_EQ(follower.NextPaths(2), "/5/6");
}

TEST_F(CollectorTest, FollowsWithFiltersFromNowOn) {
  TestAgent agent(channel_);
  agent.Hello(1);
  agent.SendBatch(MakeBatch(1, 1, 3));
  ASSERT_TRUE(agent.WaitForAck(1, 3));
  v1::FollowEventsRequest request;
  request.add_include()->add_path("~[27]$");
  TestFollower follower(channel_, request);
  ASSERT_TRUE(follower.Next());
  agent.SendBatch(MakeBatch(1, 4, 10));
  EXPECT_EQ(follower.NextPaths(1), "/7");
  request.set_last(5);
  TestFollower with_last(channel_, request);
  EXPECT_EQ(with_last.NextPaths(3), "/2/7/12");
}

TEST_F(CollectorTest, FollowFromAForeignCursorBeginsWithTheOldest) {
  TestAgent agent(channel_);
  agent.Hello(1);
  agent.SendBatch(MakeBatch(1, 1, 2));
  ASSERT_TRUE(agent.WaitForAck(1, 2));
  v1::FollowEventsRequest request;
  request.set_cursor(query::EncodeCursor({.store_id = 5, .row = 100}));
  TestFollower follower(channel_, request);
  EXPECT_EQ(follower.NextPaths(2), "/1/2");
  request.set_cursor("nonsense");
  TestFollower refused(channel_, request);
  EXPECT_FALSE(refused.Next());
  EXPECT_EQ(refused.Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(CollectorTest, FollowIsNeverSilentForLong) {
  options_.query.heartbeat_ns = 1;
  Start();
  TestFollower follower(channel_, {});
  ASSERT_TRUE(follower.Next());
  const auto heartbeat = follower.Next();
  ASSERT_TRUE(heartbeat);
  EXPECT_FALSE(heartbeat->has_event());
  EXPECT_FALSE(heartbeat->cursor().empty());
}

TEST_F(CollectorTest, BoundsFollowedStreams) {
  std::vector<std::unique_ptr<TestFollower>> followers;
  for (int i = 0; i < query::kMaxFollows; ++i) {
    followers.push_back(std::make_unique<TestFollower>(channel_, v1::FollowEventsRequest()));
    ASSERT_TRUE(followers.back()->Next());
  }
  TestFollower refused(channel_, {});
  EXPECT_FALSE(refused.Next());
  EXPECT_EQ(refused.Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(CollectorTest, QueryErrorsNameTheField) {
  grpc::ClientContext context;
  v1::ListEventsRequest request;
  request.add_include()->add_status("abc");
  v1::ListEventsResponse response;
  const grpc::Status status = query_->ListEvents(&context, request, &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), testing::StartsWith("include[0].status[0]: "));
}

TEST_F(CollectorTest, StopsPromptlyWithOpenStreams) {
  TestAgent agent(channel_);
  agent.Hello(1);
  TestFollower follower(channel_, {});
  ASSERT_TRUE(follower.Next());
  grpc::ClientContext watch_context;
  const auto health = grpc::health::v1::Health::NewStub(channel_);
  const auto watch = health->Watch(&watch_context, {});
  HealthCheckResponse state;
  ASSERT_TRUE(watch->Read(&state));
  EXPECT_EQ(state.status(), HealthCheckResponse::SERVING);

  agent.SendBatch(MakeBatch(1, 1, 100));
  ASSERT_TRUE(agent.WaitForAck(1, 100));
  const auto begin = std::chrono::steady_clock::now();
  collector_->Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
  EXPECT_EQ(agent.WaitForClose(), v1::CLOSE_REASON_SHUTDOWN);
  EXPECT_EQ(agent.End().error_code(), grpc::StatusCode::UNAVAILABLE);
  while (follower.Next()) {
  }
  EXPECT_EQ(follower.Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  ASSERT_TRUE(watch->Read(&state));
  EXPECT_EQ(state.status(), HealthCheckResponse::NOT_SERVING);
  Start();
  EXPECT_EQ(List().events_size(), 100);
}

TEST_F(CollectorTest, APortThatIsTakenIsAnError) {
  CollectorOptions options = options_;
  const TempDir other;
  options.store.directory = other.path();
  options.listen = collector_->address();
  const auto second = Collector::Start(options, &clock_);
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()),
              testing::HasSubstr(collector_->address().ToString()));
}

TEST_F(CollectorTest, SaysWhenItCannotStoreAndRecovers) {
  TestAgent agent(channel_);
  agent.Hello(1);
  agent.SendBatch(MakeBatch(1, 1, 2));
  ASSERT_TRUE(agent.WaitForAck(1, 2));
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit full{.rlim_cur = 4096, .rlim_max = limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  agent.SendBatch(MakeBatch(1, 3, 300));
  agent.SendBatch(MakeBatch(1, 303, 1));
  const v1::CloseReason reason = agent.WaitForClose();
  setrlimit(RLIMIT_FSIZE, &limit);
  EXPECT_EQ(reason, v1::CLOSE_REASON_STORE_UNAVAILABLE);
  TestAgent again(channel_);
  const v1::StreamEventsResponse hello = again.Hello(1);
  ASSERT_EQ(hello.hello_ack().positions_size(), 1);
  EXPECT_EQ(hello.hello_ack().positions(0).acked_sequence(), 2u);
  again.SendBatch(MakeBatch(1, 3, 300));
  again.SendBatch(MakeBatch(1, 303, 1));
  ASSERT_TRUE(again.WaitForAck(1, 303));
  EXPECT_EQ(Count("sequence_hole"), 0u);
  ExpectLedgerAddsUp();
}

TEST_F(CollectorTest, AnswersHealthChecks) {
  const auto health = grpc::health::v1::Health::NewStub(channel_);
  for (const char* service : {"", "podtap.v1.IngestService", "podtap.v1.QueryService"}) {
    grpc::ClientContext context;
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    HealthCheckResponse response;
    ASSERT_TRUE(health->Check(&context, request, &response).ok()) << service;
    EXPECT_EQ(response.status(), HealthCheckResponse::SERVING);
  }
  grpc::ClientContext context;
  grpc::health::v1::HealthCheckRequest request;
  request.set_service("other");
  HealthCheckResponse response;
  EXPECT_EQ(health->Check(&context, request, &response).error_code(), grpc::StatusCode::NOT_FOUND);
}

// Answers of the reflection service to one serialised ServerReflectionRequest. The streaming method
// takes a call with one message each way as well.
std::string Reflect(const std::shared_ptr<grpc::Channel>& channel, const std::string& request) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  const grpc::Slice slice(request);
  const grpc::ByteBuffer out(&slice, 1);
  grpc::ByteBuffer in;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                 grpc::StubOptions(), &out, &in,
                 [&](const grpc::Status& status) { done.set_value(status); });
  const grpc::Status status = done.get_future().get();
  EXPECT_TRUE(status.ok()) << status.error_message();
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(in.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& part : slices) {
    bytes.append(reinterpret_cast<const char*>(part.begin()), part.size());
  }
  return bytes;
}

TEST_F(CollectorTest, CanBeDescribedByReflection) {
  // list_services (field 7), "*".
  const std::string services = Reflect(channel_, "\x3a\x01*");
  // file_containing_symbol (field 4).
  for (const std::string name :
       {"podtap.v1.IngestService", "podtap.v1.QueryService", "grpc.health.v1.Health"}) {
    EXPECT_THAT(services, testing::HasSubstr(name));
    const std::string file =
        Reflect(channel_, "\x22" + std::string(1, static_cast<char>(name.size())) + name);
    EXPECT_THAT(file, testing::HasSubstr(".proto"));
    EXPECT_THAT(file, testing::Not(testing::HasSubstr("not found")));
  }
}

}  // namespace
}  // namespace podtap
