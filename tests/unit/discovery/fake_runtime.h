// A container runtime that says what it is told to, over a real socket.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "grpcpp/grpcpp.h"
#include "runtime/v1/runtime_service.grpc.pb.h"

namespace podtap::discovery::cri {

// Listens from the constructor to the destructor. Methods can be called from any thread.
class FakeRuntime : public runtime::v1::RuntimeService::Service {
 public:
  explicit FakeRuntime(const std::string& socket_path) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("unix://" + socket_path, grpc::InsecureServerCredentials());
    builder.RegisterService(this);
    builder.SetMaxSendMessageSize(-1);
    server_ = builder.BuildAndStart();
  }
  ~FakeRuntime() override {
    SetHung(false);
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
  }

  // A pod that is ready, whose namespace is at `path`; empty: on the host's network.
  void AddPod(const std::string& id, const std::string& path) {
    const std::lock_guard lock(mutex_);
    runtime::v1::PodSandbox& pod = pods_[id];
    pod.set_id(id);
    pod.mutable_metadata()->set_name("pod-" + id);
    pod.mutable_metadata()->set_namespace_("shop");
    runtime::v1::PodSandboxStatusResponse& status = statuses_[id];
    if (path.empty()) {
      status.mutable_status()
          ->mutable_linux()
          ->mutable_namespaces()
          ->mutable_options()
          ->set_network(runtime::v1::NODE);
    }
    (*status.mutable_info())["info"] =
        R"({"runtimeSpec": {"linux": {"namespaces": [{"type": "network", "path": ")" + path +
        R"("}]}}})";
  }
  void RemovePod(const std::string& id) {
    const std::lock_guard lock(mutex_);
    pods_.erase(id);
  }
  // Changes what is said, whatever it is.
  void Edit(const std::function<void(std::map<std::string, runtime::v1::PodSandbox>&,
                                     std::map<std::string, runtime::v1::PodSandboxStatusResponse>&,
                                     runtime::v1::ListContainersResponse&)>& edit) {
    const std::lock_guard lock(mutex_);
    edit(pods_, statuses_, containers_);
  }
  // Answers to the list with this.
  void SetListStatus(grpc::Status status) {
    const std::lock_guard lock(mutex_);
    list_status_ = std::move(status);
  }
  // Answers no list at all.
  void SetHung(bool hung) {
    const std::lock_guard lock(mutex_);
    hung_ = hung;
    changed_.notify_all();
  }
  // Does not answer for this pod.
  void SetStuckPod(const std::string& id) {
    const std::lock_guard lock(mutex_);
    stuck_pod_ = id;
    changed_.notify_all();
  }
  int lists() const {
    const std::lock_guard lock(mutex_);
    return lists_;
  }
  int questions() const {
    const std::lock_guard lock(mutex_);
    return questions_;
  }

  grpc::Status ListPodSandbox(grpc::ServerContext* context,
                              const runtime::v1::ListPodSandboxRequest*,
                              runtime::v1::ListPodSandboxResponse* response) override {
    std::unique_lock lock(mutex_);
    ++lists_;
    WaitWhile(lock, *context, [&] { return hung_; });
    for (const auto& [id, pod] : pods_) {
      *response->add_items() = pod;
    }
    return list_status_;
  }
  grpc::Status ListContainers(grpc::ServerContext*, const runtime::v1::ListContainersRequest*,
                              runtime::v1::ListContainersResponse* response) override {
    const std::lock_guard lock(mutex_);
    *response = containers_;
    return grpc::Status::OK;
  }
  grpc::Status PodSandboxStatus(grpc::ServerContext* context,
                                const runtime::v1::PodSandboxStatusRequest* request,
                                runtime::v1::PodSandboxStatusResponse* response) override {
    std::unique_lock lock(mutex_);
    ++questions_;
    WaitWhile(lock, *context, [&] { return stuck_pod_ == request->pod_sandbox_id(); });
    const auto found = statuses_.find(request->pod_sandbox_id());
    if (found == statuses_.end()) {
      return {grpc::StatusCode::NOT_FOUND, "no such sandbox"};
    }
    *response = found->second;
    return grpc::Status::OK;
  }

 private:
  template <typename Condition>
  void WaitWhile(std::unique_lock<std::mutex>& lock, const grpc::ServerContext& context,
                 Condition condition) {
    while (condition() && !context.IsCancelled()) {
      changed_.wait_for(lock, std::chrono::milliseconds(10));
    }
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, runtime::v1::PodSandbox> pods_;
  std::map<std::string, runtime::v1::PodSandboxStatusResponse> statuses_;
  runtime::v1::ListContainersResponse containers_;
  grpc::Status list_status_;
  bool hung_ = false;
  std::string stuck_pod_;
  int lists_ = 0;
  int questions_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace podtap::discovery::cri
