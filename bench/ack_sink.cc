// A collector that acknowledges what agents send and keeps nothing: what a measurement of the agent
// needs at the other end. It reads only what an acknowledgement takes, so that it costs little.
//
// Prints {"port": N} when it listens. After SIGTERM, one line of JSON: how many events came, and
// the losses that the last status told.
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <map>
#include <mutex>
#include <string>

#include "common/stop_signal.h"
#include "podtap/v1/ingest_service.grpc.pb.h"

namespace podtap {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;

struct Totals {
  std::atomic<uint64_t> events{0};
  std::mutex mutex;
  // By name, of the newest status.
  std::map<std::string, uint64_t> losses;
};

struct BatchSpan {
  uint64_t epoch = 0;
  uint64_t first_sequence = 0;
  uint64_t events = 0;
};

// The numbers of an EventBatch, its events passed over.
BatchSpan ReadBatch(CodedInputStream& input) {
  BatchSpan span;
  while (const uint32_t tag = input.ReadTag()) {
    switch (WireFormatLite::GetTagFieldNumber(tag)) {
      case v1::EventBatch::kEpochFieldNumber:
        input.ReadLittleEndian64(&span.epoch);
        break;
      case v1::EventBatch::kFirstSequenceFieldNumber:
        input.ReadVarint64(&span.first_sequence);
        break;
      case v1::EventBatch::kEventsFieldNumber:
        ++span.events;
        [[fallthrough]];
      default:
        WireFormatLite::SkipField(&input, tag);
    }
  }
  return span;
}

class SinkStream : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  explicit SinkStream(Totals& totals) : totals_(totals) { StartRead(&request_); }

  void OnReadDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status::OK);
      return;
    }
    v1::StreamEventsResponse response;
    if (Handle(response)) {
      const grpc::Slice bytes(response.SerializeAsString());
      response_ = grpc::ByteBuffer(&bytes, 1);
      StartWrite(&response_);
    } else {
      StartRead(&request_);
    }
  }
  void OnWriteDone(bool ok) override {
    if (ok) {
      StartRead(&request_);
    } else {
      Finish(grpc::Status::CANCELLED);
    }
  }
  void OnDone() override { delete this; }

 private:
  // False when there is nothing to answer.
  bool Handle(v1::StreamEventsResponse& response) {
    grpc::Slice bytes;
    request_.DumpToSingleSlice(&bytes);
    CodedInputStream input(bytes.begin(), static_cast<int>(bytes.size()));
    const int kind = WireFormatLite::GetTagFieldNumber(input.ReadTag());
    if (kind == v1::StreamEventsRequest::kBatchFieldNumber) {
      uint32_t size = 0;
      input.ReadVarint32(&size);
      input.PushLimit(static_cast<int>(size));
      const BatchSpan span = ReadBatch(input);
      totals_.events += span.events;
      response.mutable_ack()->set_epoch(span.epoch);
      response.mutable_ack()->set_acked_sequence(span.first_sequence + span.events - 1);
      return true;
    }
    v1::StreamEventsRequest request;
    request.ParseFromArray(bytes.begin(), static_cast<int>(bytes.size()));
    if (request.has_hello()) {
      response.mutable_hello_ack()->set_protocol_version(1);
      return true;
    }
    if (request.has_dropped()) {
      response.mutable_ack()->set_epoch(request.dropped().epoch());
      response.mutable_ack()->set_acked_sequence(request.dropped().last_sequence());
      return true;
    }
    Note(request.status());
    return false;
  }

  void Note(const v1::AgentStatus& status) {
    const std::lock_guard lock(totals_.mutex);
    totals_.losses.clear();
    for (const v1::LedgerEntry& entry : status.ledger()) {
      if (entry.is_loss() && entry.count() > 0) {
        totals_.losses[entry.name()] = entry.count();
      }
    }
  }

  Totals& totals_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
};

class Sink
    : public v1::IngestService::WithRawCallbackMethod_StreamEvents<v1::IngestService::Service> {
 public:
  explicit Sink(Totals& totals) : totals_(totals) {}
  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* StreamEvents(
      grpc::CallbackServerContext*) override {
    return new SinkStream(totals_);
  }

 private:
  Totals& totals_;
};

int Run() {
  Totals totals;
  Sink sink(totals);
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&sink);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    std::fprintf(stderr, "ack_sink: can't listen\n");
    return 1;
  }
  std::printf("{\"port\": %d}\n", port);
  std::fflush(stdout);
  WaitForStopSignal();
  server->Shutdown(std::chrono::system_clock::now());
  std::string losses;
  for (const auto& [name, count] : totals.losses) {
    losses += (losses.empty() ? "\"" : ", \"") + name + "\": " + std::to_string(count);
  }
  std::printf("{\"events\": %llu, \"losses\": {%s}}\n",
              static_cast<unsigned long long>(totals.events.load()), losses.c_str());
  return 0;
}

}  // namespace
}  // namespace podtap

int main() {
  podtap::BlockStopSignals();
  return podtap::Run();
}
