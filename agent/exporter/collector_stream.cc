#include "agent/exporter/collector_stream.h"

#include <utility>

#include "common/status.h"
#include "common/text.h"
#include "common/tls_credentials.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/impl/codegen/proto_utils.h"

namespace podtap::exporter {
namespace {

constexpr char kMethod[] = "/podtap.v1.IngestService/StreamEvents";

// What is under way; the values are the tags of the completion queue.
enum class Operation : intptr_t { kStart = 1, kRead, kWrite, kFinish };

void* Tag(Operation operation) { return reinterpret_cast<void*>(operation); }

// Bytes that stay alive until gRPC has let go of them, which can be after the write is over.
grpc::ByteBuffer Share(std::shared_ptr<const std::string> bytes) {
  using Owner = std::shared_ptr<const std::string>;
  const std::string& text = *bytes;
  auto* owner = new Owner(std::move(bytes));
  const grpc::Slice slice(
      const_cast<char*>(text.data()), text.size(),
      [](void* user_data) { delete static_cast<Owner*>(user_data); }, owner);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace

std::shared_ptr<grpc::Channel> CreateCollectorChannel(const HostPort& collector, TlsFiles* tls) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // A proxy from the environment must not come between: the rule for plain text knows nothing of
  // it.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Resending is ours; gRPC would keep a second copy of what is sent for its own retries.
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  // Finds a peer that is gone without a word also while there is nothing to acknowledge.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  return grpc::CreateCustomChannel(collector.ToString(), ChannelCredentialsOf(tls), arguments);
}

CollectorStream::CollectorStream(std::shared_ptr<grpc::Channel> channel)
    : channel_(std::move(channel)) {
  grpc::TemplatedGenericStub<grpc::ByteBuffer, v1::StreamEventsResponse> stub(channel_);
  call_ = stub.PrepareCall(&context_, kMethod, &queue_);
  call_->StartCall(Tag(Operation::kStart));
}

CollectorStream::~CollectorStream() {
  context_.TryCancel();
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
  }
}

CollectorStream::Step CollectorStream::Wait(std::chrono::milliseconds timeout) {
  if (ended_) {
    return Step::kEnded;
  }
  if (started_ && !reading_ && !finishing_) {
    Read();
  }
  const gpr_timespec deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                             gpr_time_from_millis(timeout.count(), GPR_TIMESPAN));
  void* tag = nullptr;
  bool ok = false;
  switch (queue_.AsyncNext(&tag, &ok, deadline)) {
    case grpc::CompletionQueue::GOT_EVENT:
      return OnDone(tag, ok);
    case grpc::CompletionQueue::SHUTDOWN:
    case grpc::CompletionQueue::TIMEOUT:
      return Step::kTimeout;
  }
  return Step::kTimeout;
}

CollectorStream::Step CollectorStream::OnDone(void* tag, bool ok) {
  switch (static_cast<Operation>(reinterpret_cast<intptr_t>(tag))) {
    case Operation::kStart:
      if (!ok) {
        Finish();
        return Step::kTimeout;
      }
      started_ = true;
      return Step::kStarted;
    case Operation::kRead:
      reading_ = false;
      if (!ok) {
        Finish();
        return Step::kTimeout;
      }
      return Step::kMessage;
    case Operation::kWrite:
      // A failed write means that the stream is over; the read finds out why.
      writing_ = !ok;
      return ok ? Step::kWritten : Step::kTimeout;
    case Operation::kFinish:
      ended_ = true;
      status_ = absl::Status(static_cast<absl::StatusCode>(grpc_status_.error_code()),
                             SafeText(grpc_status_.error_message(), 512));
      return Step::kEnded;
  }
  return Step::kTimeout;
}

void CollectorStream::Read() {
  reading_ = true;
  call_->Read(&message_, Tag(Operation::kRead));
}

void CollectorStream::Finish() {
  finishing_ = true;
  call_->Finish(&grpc_status_, Tag(Operation::kFinish));
}

void CollectorStream::Write(std::shared_ptr<const std::string> message) {
  PODTAP_CHECK(can_write());
  writing_ = true;
  call_->Write(Share(std::move(message)), Tag(Operation::kWrite));
}

void CollectorStream::FinishWriting() {
  PODTAP_CHECK(can_write());
  writing_ = true;
  call_->WritesDone(Tag(Operation::kWrite));
}

}  // namespace podtap::exporter
