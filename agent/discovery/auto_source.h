// Pod source `auto`: the pods of the node's container runtime; as long as none has answered, the
// named network namespaces, and those of running processes that have no name.
#pragma once

#include <memory>
#include <utility>

#include "agent/discovery/cri/cri_source.h"
#include "agent/discovery/netns_source.h"
#include "agent/discovery/pod_source.h"
#include "agent/discovery/proc/proc_source.h"

namespace podtap::discovery {

// Both lists without those of the second that live in a namespace of the first.
PodList OnePodPerNamespace(PodList named, PodList others);

// The agent may start before the runtime. Once a runtime has answered, its word counts for good,
// also while it is away.
class AutoSource : public PodSource {
 public:
  // `processes` or why they can't be looked at, which is said when they would be asked first.
  AutoSource(std::unique_ptr<cri::CriSource> runtime, NetnsSource namespaces,
             absl::StatusOr<std::unique_ptr<proc::ProcSource>> processes)
      : runtime_(std::move(runtime)),
        namespaces_(std::move(namespaces)),
        processes_(std::move(processes)) {}

  absl::StatusOr<PodList> List() override;
  bool is_current() const override { return !asks_runtime() || runtime_->is_current(); }
  void Refresh() override { runtime_->Refresh(); }
  int changed_fd() const override { return runtime_->changed_fd(); }

 private:
  // Until it is known whether there is a runtime, no pod is known by the name of its namespace.
  bool asks_runtime() const { return runtime_->has_answered() || !runtime_->has_tried(); }
  absl::StatusOr<PodList> ListNamespaces();

  const std::unique_ptr<cri::CriSource> runtime_;
  NetnsSource namespaces_;
  absl::StatusOr<std::unique_ptr<proc::ProcSource>> processes_;
  bool refusal_logged_ = false;
};

}  // namespace podtap::discovery
