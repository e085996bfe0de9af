#include "agent/discovery/cri/runtime_client.h"

#include <sys/un.h>

#include <utility>

#include "common/status.h"
#include "common/text.h"

namespace podtap::discovery::cri {
namespace {

using runtime::v1::RuntimeService;

constexpr char kScheme[] = "unix://";

std::shared_ptr<grpc::Channel> Connect(const std::string& socket_path, const CallLimits& limits) {
  grpc::ChannelArguments arguments;
  // Another client's pause between two attempts to connect must not become ours.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetMaxReceiveMessageSize(limits.max_message_bytes);
  return grpc::CreateCustomChannel(kScheme + socket_path, grpc::InsecureChannelCredentials(),
                                   arguments);
}

absl::Status ToStatus(const grpc::Status& status) {
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    return absl::UnimplementedError("does not speak CRI v1");
  }
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    return absl::DeadlineExceededError("does not answer in time");
  }
  // The text is the peer's.
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      SafeText(status.error_message(), 256));
}

template <typename Response, typename Request>
absl::StatusOr<Response> Call(RuntimeService::StubInterface& stub,
                              grpc::Status (RuntimeService::StubInterface::*method)(
                                  grpc::ClientContext*, const Request&, Response*),
                              const Request& request, std::chrono::milliseconds deadline,
                              CallGate& gate) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + deadline);
  const CallGate::Pass pass(gate, context);
  if (!pass.open()) {
    return absl::CancelledError("stopping");
  }
  Response response;
  const grpc::Status status = (stub.*method)(&context, request, &response);
  if (!status.ok()) {
    return ToStatus(status);
  }
  return response;
}

}  // namespace

void CallGate::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  if (current_ != nullptr) {
    current_->TryCancel();
  }
}

CallGate::Pass::Pass(CallGate& gate, grpc::ClientContext& context) : gate_(gate) {
  const std::lock_guard lock(gate_.mutex_);
  open_ = !gate_.closed_;
  gate_.current_ = &context;
}

CallGate::Pass::~Pass() {
  const std::lock_guard lock(gate_.mutex_);
  gate_.current_ = nullptr;
}

RuntimeClient::RuntimeClient(const std::string& socket_path, const CallLimits& limits,
                             CallGate& gate)
    : limits_(limits), gate_(gate), stub_(RuntimeService::NewStub(Connect(socket_path, limits))) {}

absl::StatusOr<runtime::v1::ListPodSandboxResponse> RuntimeClient::ListPods() {
  runtime::v1::ListPodSandboxRequest request;
  request.mutable_filter()->mutable_state()->set_state(runtime::v1::SANDBOX_READY);
  return Call(*stub_, &RuntimeService::StubInterface::ListPodSandbox, request,
              limits_.list_deadline, gate_);
}

absl::StatusOr<runtime::v1::ListContainersResponse> RuntimeClient::ListContainers() {
  return Call(*stub_, &RuntimeService::StubInterface::ListContainers,
              runtime::v1::ListContainersRequest(), limits_.list_deadline, gate_);
}

absl::StatusOr<runtime::v1::PodSandboxStatusResponse> RuntimeClient::PodStatus(
    const std::string& sandbox_id) {
  runtime::v1::PodSandboxStatusRequest request;
  request.set_pod_sandbox_id(sandbox_id);
  request.set_verbose(true);
  return Call(*stub_, &RuntimeService::StubInterface::PodSandboxStatus, request,
              limits_.status_deadline, gate_);
}

absl::StatusOr<std::string> CheckEndpoint(const std::string& flag, const std::string& endpoint) {
  const auto error = [&](const char* why) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: \"%s\" is not unix:///PATH (%s)", flag, SafeText(endpoint, 200), why));
  };
  if (endpoint.rfind(kScheme, 0) != 0) {
    return error("it does not begin with unix://");
  }
  std::string path = endpoint.substr(sizeof(kScheme) - 1);
  if (path.empty() || path[0] != '/' || path.back() == '/') {
    return error("it names no file by its whole path");
  }
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return error("the path is longer than that of a socket can be");
  }
  // The rest of the path goes through gRPC, which reads it as a URI.
  if (SafeText(path) != path || path.find_first_of("%?# ") != std::string::npos) {
    return error("spaces, %, ?, # and what is not printable can't be in it");
  }
  return path;
}

}  // namespace podtap::discovery::cri
