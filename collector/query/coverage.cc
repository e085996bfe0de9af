#include "collector/query/coverage.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

#include "absl/strings/str_format.h"
#include "collector/query/token.h"
#include "common/filter_values.h"
#include "common/status.h"

namespace podtap::query {
namespace {

constexpr int kDefaultPageSize = 100;
constexpr int kMaxPageSize = 1000;
// Response messages stay well under the 4 MiB that gRPC clients take by default.
constexpr size_t kMaxPageBytes = 2 << 20;
constexpr int kMaxValues = 1000;
constexpr size_t kMaxValueBytes = 4096;

using Values = google::protobuf::RepeatedPtrField<std::string>;

absl::Status CheckValues(std::string_view field, const Values& values) {
  if (values.size() > kMaxValues) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: %d values, at most %d", field, values.size(), kMaxValues));
  }
  for (int i = 0; i < values.size(); ++i) {
    if (values[i].empty() || values[i].size() > kMaxValueBytes) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s[%d]: is empty or of more than %d bytes", field, i, kMaxValueBytes));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<ScopedPattern>> ParseScoped(std::string_view field,
                                                       const Values& values) {
  PODTAP_RETURN_IF_ERROR(CheckValues(field, values));
  std::vector<ScopedPattern> patterns;
  for (int i = 0; i < values.size(); ++i) {
    absl::StatusOr<ScopedPattern> pattern = ScopedPattern::Parse(values[i]);
    if (!pattern.ok()) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s[%d]: %s", field, i, pattern.status().message()));
    }
    patterns.push_back(*std::move(pattern));
  }
  return patterns;
}

template <typename Wanted, typename Predicate>
bool AnyOrNone(const Wanted& wanted, Predicate predicate) {
  return wanted.empty() || std::any_of(wanted.begin(), wanted.end(), predicate);
}

// The conditions of a request.
class PodFilter {
 public:
  static absl::StatusOr<PodFilter> Compile(const v1::GetCoverageRequest& request) {
    PodFilter filter;
    PODTAP_RETURN_IF_ERROR(CheckValues("namespace", request.namespace_()));
    filter.namespaces_.assign(request.namespace_().begin(), request.namespace_().end());
    PODTAP_ASSIGN_OR_RETURN(filter.pods_, ParseScoped("pod", request.pod()));
    PODTAP_ASSIGN_OR_RETURN(filter.workloads_, ParseScoped("workload", request.workload()));
    PODTAP_RETURN_IF_ERROR(CheckValues("node", request.node()));
    for (const std::string& node : request.node()) {
      filter.nodes_.push_back(NamePattern::Of(node));
    }
    for (int i = 0; i < request.state_size(); ++i) {
      if (request.state(i) == v1::COVERAGE_STATE_UNSPECIFIED ||
          !v1::CoverageState_IsValid(request.state(i))) {
        return absl::InvalidArgumentError(
            absl::StrFormat("state[%d]: %d is no state", i, request.state(i)));
      }
      filter.states_.push_back(static_cast<v1::CoverageState>(request.state(i)));
    }
    return filter;
  }

  bool MatchesNode(const std::string& node) const {
    return AnyOrNone(nodes_, [&](const NamePattern& pattern) { return pattern.Matches(node); });
  }
  bool Matches(const v1::PodCoverage& pod) const {
    const auto named = [&](const std::string& name) {
      return [&](const ScopedPattern& pattern) { return pattern.Matches(pod.namespace_(), name); };
    };
    return AnyOrNone(states_, [&](v1::CoverageState state) { return state == pod.state(); }) &&
           AnyOrNone(namespaces_,
                     [&](const std::string& name) { return name == pod.namespace_(); }) &&
           AnyOrNone(pods_, named(pod.pod_name())) &&
           AnyOrNone(workloads_, named(pod.workload().name()));
  }

 private:
  std::vector<std::string> namespaces_;
  std::vector<ScopedPattern> pods_;
  std::vector<ScopedPattern> workloads_;
  std::vector<NamePattern> nodes_;
  std::vector<v1::CoverageState> states_;
};

// The TLS connections of one agent's pods.
class TlsOfPods {
 public:
  explicit TlsOfPods(const v1::AgentStatus& status) {
    for (const v1::TlsUse& use : status.tls_uses()) {
      uses_[{use.namespace_(), use.pod_name()}].push_back(&use);
    }
  }
  void AddTo(v1::PodState& pod) const {
    const auto found = uses_.find({pod.coverage().namespace_(), pod.coverage().pod_name()});
    if (found != uses_.end()) {
      for (const v1::TlsUse* use : found->second) {
        *pod.add_tls_uses() = *use;
      }
    }
  }

 private:
  std::map<std::pair<std::string_view, std::string_view>, std::vector<const v1::TlsUse*>> uses_;
};

absl::StatusOr<std::optional<PodToken>> ParseToken(const v1::GetCoverageRequest& request) {
  if (request.page_token().empty()) {
    return std::nullopt;
  }
  std::optional<PodToken> token = DecodePodToken(request.page_token());
  if (!token) {
    return absl::InvalidArgumentError("page_token: is not one of this collector's");
  }
  if (token->fingerprint != Fingerprint(request)) {
    return absl::InvalidArgumentError("page_token: belongs to a request with other fields");
  }
  return token;
}

bool IsBehind(const PodToken& token, const std::string& node, const v1::PodCoverage& pod) {
  return std::tie(node, pod.namespace_(), pod.pod_name(), pod.pod_uid()) >
         std::tie(token.node, token.name_space, token.pod, token.uid);
}

// A page in the making.
struct Page {
  const v1::GetCoverageRequest& request;
  const PodFilter& filter;
  const std::optional<PodToken>& begin;
  int size = 0;
  size_t bytes = 0;
  v1::GetCoverageResponse* response;
};

// False when the page is full before the agent's pods are at their end.
bool AddAgent(const AgentCoverage& agent, Page& page) {
  const TlsOfPods tls(*agent.status);
  for (const v1::PodCoverage& pod : agent.status->pods()) {
    if ((page.begin && !IsBehind(*page.begin, agent.node_name, pod)) || !page.filter.Matches(pod)) {
      continue;
    }
    v1::PodState state;
    state.set_node_name(agent.node_name);
    state.set_cluster_name(agent.cluster_name);
    state.set_agent_connected(agent.connected);
    *state.mutable_status_time() = agent.status->time();
    *state.mutable_coverage() = pod;
    tls.AddTo(state);
    page.bytes += state.ByteSizeLong();
    const int pods = page.response->pods_size();
    if (pods == page.size || (pods > 0 && page.bytes > kMaxPageBytes)) {
      const v1::PodState& last = page.response->pods(pods - 1);
      page.response->set_next_page_token(EncodePodToken({.fingerprint = Fingerprint(page.request),
                                                         .node = last.node_name(),
                                                         .name_space = last.coverage().namespace_(),
                                                         .pod = last.coverage().pod_name(),
                                                         .uid = last.coverage().pod_uid()}));
      return false;
    }
    *page.response->add_pods() = std::move(state);
  }
  return true;
}

}  // namespace

absl::Status ListCoverage(const std::vector<AgentCoverage>& agents,
                          const v1::GetCoverageRequest& request,
                          v1::GetCoverageResponse* response) {
  PODTAP_ASSIGN_OR_RETURN(const PodFilter filter, PodFilter::Compile(request));
  PODTAP_ASSIGN_OR_RETURN(const std::optional<PodToken> begin, ParseToken(request));
  if (request.page_size() < 0 || request.page_size() > kMaxPageSize) {
    return absl::InvalidArgumentError(
        absl::StrFormat("page_size: %d is not 0 to %d", request.page_size(), kMaxPageSize));
  }
  Page page{.request = request,
            .filter = filter,
            .begin = begin,
            .size = request.page_size() == 0 ? kDefaultPageSize : request.page_size(),
            .response = response};
  for (const AgentCoverage& agent : agents) {
    if (filter.MatchesNode(agent.node_name) && !AddAgent(agent, page)) {
      break;
    }
  }
  return absl::OkStatus();
}

}  // namespace podtap::query
