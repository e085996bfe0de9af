// The whole collector in this process, an agent's stream and a follower to talk to it with.
#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "collector/collector.h"
#include "gtest/gtest.h"
#include "podtap/v1/ingest_service.grpc.pb.h"
#include "podtap/v1/query_service.grpc.pb.h"
#include "tests/unit/collector/support.h"

namespace podtap {

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

}  // namespace podtap
