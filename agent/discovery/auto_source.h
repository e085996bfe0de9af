// Pod source `auto`: the pods of the node's container runtime; the named network namespaces as long
// as none has answered.
#pragma once

#include <memory>
#include <utility>

#include "agent/discovery/cri/cri_source.h"
#include "agent/discovery/netns_source.h"
#include "agent/discovery/pod_source.h"

namespace podtap::discovery {

// The agent may start before the runtime. Once a runtime has answered, its word counts for good,
// also while it is away.
class AutoSource : public PodSource {
 public:
  AutoSource(std::unique_ptr<cri::CriSource> runtime, NetnsSource namespaces)
      : runtime_(std::move(runtime)), namespaces_(std::move(namespaces)) {}

  absl::StatusOr<PodList> List() override {
    // Takes back what changed_fd() said, whoever is asked.
    absl::StatusOr<PodList> list = runtime_->List();
    return asks_runtime() ? list : namespaces_.List();
  }
  bool is_current() const override { return !asks_runtime() || runtime_->is_current(); }
  void Refresh() override { runtime_->Refresh(); }
  int changed_fd() const override { return runtime_->changed_fd(); }

 private:
  // Until it is known whether there is a runtime, no pod is known by the name of its namespace.
  bool asks_runtime() const { return runtime_->has_answered() || !runtime_->has_tried(); }

  const std::unique_ptr<cri::CriSource> runtime_;
  NetnsSource namespaces_;
};

}  // namespace podtap::discovery
