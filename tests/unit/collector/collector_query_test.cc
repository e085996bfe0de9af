// Queries, health, reflection and the end, over gRPC on loopback.
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
#include "tests/unit/collector/collector_fixture.h"

namespace podtap {
namespace {

using grpc::health::v1::HealthCheckResponse;

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
  const auto first = follower.Next();
  ASSERT_TRUE(first);
  EXPECT_TRUE(first->store_changed());
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

HealthCheckResponse::ServingStatus HealthOf(const std::shared_ptr<grpc::Channel>& channel,
                                            const std::string& service) {
  grpc::ClientContext context;
  grpc::health::v1::HealthCheckRequest request;
  request.set_service(service);
  HealthCheckResponse response;
  const auto health = grpc::health::v1::Health::NewStub(channel);
  EXPECT_TRUE(health->Check(&context, request, &response).ok()) << service;
  return response.status();
}

TEST_F(CollectorTest, HealthFollowsTheStore) {
  grpc::ClientContext watch_context;
  const auto health = grpc::health::v1::Health::NewStub(channel_);
  const auto watch = health->Watch(&watch_context, {});
  HealthCheckResponse state;
  ASSERT_TRUE(watch->Read(&state));
  EXPECT_EQ(state.status(), HealthCheckResponse::SERVING);
  TestAgent agent(channel_);
  agent.Hello(1);
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit full{.rlim_cur = 4096, .rlim_max = limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  agent.SendBatch(MakeBatch(1, 1, 300));
  EXPECT_EQ(agent.WaitForClose(), v1::CLOSE_REASON_STORE_UNAVAILABLE);
  const bool told = watch->Read(&state);
  const auto ingest = HealthOf(channel_, "podtap.v1.IngestService");
  const auto query = HealthOf(channel_, "podtap.v1.QueryService");
  const std::string error = ServerStatus().store_error();
  setrlimit(RLIMIT_FSIZE, &limit);
  ASSERT_TRUE(told);
  EXPECT_EQ(state.status(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(ingest, HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(query, HealthCheckResponse::SERVING) << "what is stored can be asked for";
  EXPECT_THAT(error, testing::HasSubstr("sqlite: "));
  // Nobody sends anything: the store finds out by itself.
  ASSERT_TRUE(watch->Read(&state));
  EXPECT_EQ(state.status(), HealthCheckResponse::SERVING);
  EXPECT_EQ(HealthOf(channel_, ""), HealthCheckResponse::SERVING);
  EXPECT_EQ(ServerStatus().store_error(), "");
  watch_context.TryCancel();
}

TEST_F(CollectorTest, AnswersHealthChecks) {
  const auto health = grpc::health::v1::Health::NewStub(channel_);
  for (const char* service : {"", "podtap.v1.IngestService", "podtap.v1.QueryService"}) {
    EXPECT_EQ(HealthOf(channel_, service), HealthCheckResponse::SERVING);
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
  }
  // And what their messages are made of.
  for (const std::string name :
       {"podtap.v1.IngestService", "podtap.v1.QueryService", "grpc.health.v1.Health",
        "podtap.v1.EventFilter", "podtap.v1.HttpEvent", "google.protobuf.Duration",
        "google.protobuf.Timestamp"}) {
    const std::string file =
        Reflect(channel_, "\x22" + std::string(1, static_cast<char>(name.size())) + name);
    EXPECT_THAT(file, testing::HasSubstr(".proto"));
    EXPECT_THAT(file, testing::Not(testing::HasSubstr("not found")));
  }
}

}  // namespace
}  // namespace podtap
