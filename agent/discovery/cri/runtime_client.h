// Calls to one container runtime over its Unix socket.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/statusor.h"
#include "grpcpp/grpcpp.h"
#include "runtime/v1/runtime_service.grpc.pb.h"

namespace podtap::discovery::cri {

// Bounds of a call. A runtime that hangs costs its deadline, one that floods us its bytes.
struct CallLimits {
  std::chrono::milliseconds list_deadline{2'000};
  std::chrono::milliseconds status_deadline{1'000};
  // As much as a kubelet takes.
  int max_message_bytes = 16 << 20;
};

// Ends the call that is under way, wherever that is, and refuses later ones. Thread-safe.
class CallGate {
 public:
  void Close();

  // One call, while it lasts. Not `open` when the gate was closed before.
  class Pass {
   public:
    Pass(CallGate& gate, grpc::ClientContext& context);
    ~Pass();
    Pass(const Pass&) = delete;
    Pass& operator=(const Pass&) = delete;
    bool open() const { return open_; }

   private:
    CallGate& gate_;
    bool open_ = false;
  };

 private:
  std::mutex mutex_;
  bool closed_ = false;
  grpc::ClientContext* current_ = nullptr;
};

// A connection, made by the first call. Calls wait for the answer, up to their deadline. A client
// whose call failed with kUnavailable is to be thrown away: the next one tries to connect at once.
// Not thread-safe.
class RuntimeClient {
 public:
  // `socket_path` as CheckEndpoint() gives it. The gate is borrowed and outlives the client.
  RuntimeClient(const std::string& socket_path, const CallLimits& limits, CallGate& gate);

  // The pods that are ready.
  absl::StatusOr<runtime::v1::ListPodSandboxResponse> ListPods();
  absl::StatusOr<runtime::v1::ListContainersResponse> ListContainers();
  // With the runtime's own words on the pod.
  absl::StatusOr<runtime::v1::PodSandboxStatusResponse> PodStatus(const std::string& sandbox_id);

 private:
  const CallLimits limits_;
  CallGate& gate_;
  const std::unique_ptr<runtime::v1::RuntimeService::StubInterface> stub_;
};

// The path of "unix:///path". kInvalidArgument says what is wrong with it, and names `flag`.
absl::StatusOr<std::string> CheckEndpoint(const std::string& flag, const std::string& endpoint);

}  // namespace podtap::discovery::cri
