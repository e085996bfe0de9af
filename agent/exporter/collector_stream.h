// One StreamEvents call, as its thread sees it: step by step, each step with a time limit.
//
// Requests are passed as serialized bytes that are shared, not copied.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "common/grpc_target.h"
#include "common/tls_files.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/support/async_stream.h"
#include "grpcpp/support/byte_buffer.h"
#include "podtap/v1/ingest_service.pb.h"

namespace podtap::exporter {

// A channel of its own, which connects when first used. Each stream gets a new one, so that names
// are looked up again, changed certificates are used, and gRPC's own waiting between connection
// attempts never adds to ours. Null `tls` means plain text.
std::shared_ptr<grpc::Channel> CreateCollectorChannel(const HostPort& collector, TlsFiles* tls);

// Not thread-safe. Destroying it cancels what is under way and returns promptly.
class CollectorStream {
 public:
  enum class Step {
    // Nothing happened within the time limit.
    kTimeout,
    // The connection stands; writing may begin.
    kStarted,
    // The write under way is over; can_write() is true again.
    kWritten,
    // message() has a new response.
    kMessage,
    // The stream is over; status() says why.
    kEnded,
  };

  explicit CollectorStream(std::shared_ptr<grpc::Channel> channel);
  ~CollectorStream();
  CollectorStream(const CollectorStream&) = delete;
  CollectorStream& operator=(const CollectorStream&) = delete;

  Step Wait(std::chrono::milliseconds timeout);

  bool can_write() const { return started_ && !writing_ && !ended_; }
  // can_write() holds.
  void Write(std::shared_ptr<const std::string> message);
  // Nothing more will be written; can_write() holds. The other side is expected to end the stream.
  void FinishWriting();

  // After kMessage, until the next Wait().
  const v1::StreamEventsResponse& message() const { return message_; }
  // After kEnded; OK when the other side ended the stream without an error.
  const absl::Status& status() const { return status_; }

 private:
  Step OnDone(void* tag, bool ok);
  void Read();
  void Finish();

  std::shared_ptr<grpc::Channel> channel_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<grpc::ByteBuffer, v1::StreamEventsResponse>> call_;
  v1::StreamEventsResponse message_;
  grpc::Status grpc_status_;
  absl::Status status_;
  bool started_ = false;
  bool reading_ = false;
  bool writing_ = false;
  bool finishing_ = false;
  bool ended_ = false;
};

}  // namespace podtap::exporter
