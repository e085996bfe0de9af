#include "agent/discovery/cri/pod_lister.h"

#include <algorithm>
#include <utility>

#include "agent/discovery/cri/sandbox_pod.h"
#include "common/status.h"

namespace podtap::discovery::cri {
namespace {

// Ids are 64 hex digits; what is far from that is none.
constexpr size_t kMaxId = 256;

// A sandbox with what was made of it.
struct Listed {
  const runtime::v1::PodSandbox* sandbox;
  BoundedIdentity pod;
};

// Usable sandboxes by id, so that the same pods give the same list. Those beyond the bound are
// counted.
std::map<std::string, Listed> TakeSandboxes(const runtime::v1::ListPodSandboxResponse& answer,
                                            size_t max_pods, uint64_t& left_out) {
  std::map<std::string, Listed> listed;
  for (const runtime::v1::PodSandbox& sandbox : answer.items()) {
    // The filter is a wish.
    if (sandbox.state() != runtime::v1::SANDBOX_READY) {
      continue;
    }
    if (sandbox.id().empty() || sandbox.id().size() > kMaxId || listed.size() == max_pods) {
      ++left_out;
      continue;
    }
    listed.emplace(sandbox.id(), Listed{&sandbox, IdentityOf(sandbox)});
  }
  return listed;
}

}  // namespace

absl::Status PodLister::Refresh(RuntimeClient& client, TimePoint now) {
  PODTAP_ASSIGN_OR_RETURN(const runtime::v1::ListPodSandboxResponse sandboxes, client.ListPods());
  PODTAP_ASSIGN_OR_RETURN(const runtime::v1::ListContainersResponse containers,
                          client.ListContainers());
  PodList list;
  std::map<std::string, Listed> listed = TakeSandboxes(sandboxes, limits_.max_pods, list.left_out);
  for (const runtime::v1::Container& container : containers.containers()) {
    if (const auto owner = listed.find(container.pod_sandbox_id()); owner != listed.end()) {
      AddContainer(container, owner->second.pod);
    }
  }
  ++round_;
  for (const auto& [id, pod] : listed) {
    networks_[id].round = round_;
  }
  std::erase_if(networks_, [&](const auto& entry) { return entry.second.round != round_; });
  PODTAP_RETURN_IF_ERROR(Resolve(client, now));

  for (auto& [id, pod] : listed) {
    const Network& network = networks_[id];
    list.cut += pod.pod.cut ? 1 : 0;
    list.pods.push_back({.id = id,
                         .identity = std::move(pod.pod.identity),
                         .namespace_path = network.path,
                         .host_network = network.host_network});
  }
  list_ = std::move(list);
  return absl::OkStatus();
}

absl::Status PodLister::Resolve(RuntimeClient& client, TimePoint now) {
  has_more_ = false;
  late_answers_ = 0;
  int questions = 0;
  for (auto& [id, network] : networks_) {
    if (network.known || network.next_try > now) {
      continue;
    }
    if (questions == limits_.max_questions || late_answers_ == limits_.max_late_answers) {
      has_more_ = true;
      break;
    }
    ++questions;
    PODTAP_RETURN_IF_ERROR(Ask(client, id, network, now));
  }
  return absl::OkStatus();
}

absl::Status PodLister::Ask(RuntimeClient& client, const std::string& id, Network& network,
                            TimePoint now) {
  const absl::StatusOr<runtime::v1::PodSandboxStatusResponse> answer = client.PodStatus(id);
  if (absl::IsUnavailable(answer.status())) {
    return answer.status();
  }
  if (absl::IsDeadlineExceeded(answer.status())) {
    ++late_answers_;
  }
  if (answer.ok()) {
    const runtime::v1::NamespaceOption& options = answer->status().linux().namespaces().options();
    network.host_network = options.network() == runtime::v1::NODE;
    if (const auto info = answer->info().find("info");
        info != answer->info().end() && !network.host_network) {
      network.path = ParseSandboxInfo(info->second).NamespacePath();
    }
    network.known = network.host_network || !network.path.empty();
  }
  network.retry = std::clamp(network.retry * 2, limits_.first_retry, limits_.last_retry);
  network.next_try = now + network.retry;
  return absl::OkStatus();
}

}  // namespace podtap::discovery::cri
