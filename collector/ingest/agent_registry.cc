#include "collector/ingest/agent_registry.h"

#include "absl/strings/str_format.h"

namespace podtap::ingest {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

}  // namespace

absl::StatusOr<std::shared_ptr<AgentSession>> AgentRegistry::Connect(
    const v1::AgentHello& hello, const std::string& certificate_subject,
    const std::shared_ptr<AgentSession>& session, int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  if (agents_.find(hello.node_name()) == agents_.end() && agents_.size() >= max_nodes_ &&
      !MakeRoom()) {
    return absl::ResourceExhaustedError(
        absl::StrFormat("%d nodes are connected already", max_nodes_));
  }
  Agent& agent = agents_[hello.node_name()];
  std::shared_ptr<AgentSession> displaced = agent.session.lock();
  if (agent.epoch != hello.epoch()) {
    agent.status.reset();
    agent.state.clear_acked_sequence();
  }
  agent.epoch = hello.epoch();
  agent.state.set_node_name(hello.node_name());
  agent.state.set_cluster_name(hello.cluster_name());
  agent.state.set_epoch(absl::StrFormat("%016x", hello.epoch()));
  agent.state.set_agent_version(hello.agent_version());
  agent.state.set_certificate_subject(certificate_subject);
  agent.session = session;
  agent.session_id = session.get();
  agent.last_seen_ns = now_ns;
  return displaced;
}

bool AgentRegistry::MakeRoom() {
  auto oldest = agents_.end();
  for (auto it = agents_.begin(); it != agents_.end(); ++it) {
    const bool is_gone = it->second.session_id == nullptr;
    if (is_gone &&
        (oldest == agents_.end() || it->second.last_seen_ns < oldest->second.last_seen_ns)) {
      oldest = it;
    }
  }
  if (oldest == agents_.end()) {
    return false;
  }
  agents_.erase(oldest);
  return true;
}

AgentRegistry::Agent* AgentRegistry::FindOwned(const std::string& node_name,
                                               const AgentSession* session) {
  const auto it = agents_.find(node_name);
  return it != agents_.end() && it->second.session_id == session ? &it->second : nullptr;
}

void AgentRegistry::Disconnect(const std::string& node_name, const AgentSession* session) {
  const std::lock_guard lock(mutex_);
  if (Agent* agent = FindOwned(node_name, session)) {
    agent->session_id = nullptr;
    agent->session.reset();
  }
}

void AgentRegistry::Heard(const std::string& node_name, const AgentSession* session,
                          int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  if (Agent* agent = FindOwned(node_name, session)) {
    agent->last_seen_ns = now_ns;
  }
}

void AgentRegistry::SetStatus(const std::string& node_name, const AgentSession* session,
                              v1::AgentStatus status) {
  auto shared = std::make_shared<const v1::AgentStatus>(std::move(status));
  const std::lock_guard lock(mutex_);
  if (Agent* agent = FindOwned(node_name, session)) {
    agent->status = std::move(shared);
  }
}

void AgentRegistry::SetAcked(const std::string& node_name, const AgentSession* session,
                             uint64_t epoch, uint64_t sequence) {
  const std::lock_guard lock(mutex_);
  Agent* agent = FindOwned(node_name, session);
  if (agent != nullptr && agent->epoch == epoch && sequence > agent->state.acked_sequence()) {
    agent->state.set_acked_sequence(sequence);
  }
}

void AgentRegistry::CountStored(const std::string& node_name, uint64_t events) {
  const std::lock_guard lock(mutex_);
  if (const auto it = agents_.find(node_name); it != agents_.end()) {
    it->second.events_stored += events;
  }
}

std::vector<AgentRegistry::Totals> AgentRegistry::AllTotals() const {
  const std::lock_guard lock(mutex_);
  std::vector<Totals> totals;
  totals.reserve(agents_.size());
  for (const auto& [name, agent] : agents_) {
    totals.push_back({name, agent.session_id != nullptr, agent.events_stored});
  }
  return totals;
}

std::vector<AgentRegistry::Coverage> AgentRegistry::AllCoverage() const {
  const std::lock_guard lock(mutex_);
  std::vector<Coverage> coverage;
  for (const auto& [name, agent] : agents_) {
    if (agent.status != nullptr) {
      coverage.push_back({.node_name = name,
                          .cluster_name = agent.state.cluster_name(),
                          .connected = agent.session_id != nullptr,
                          .status = agent.status});
    }
  }
  return coverage;
}

std::vector<v1::AgentState> AgentRegistry::Snapshot() const {
  const std::lock_guard lock(mutex_);
  std::vector<v1::AgentState> states;
  for (const auto& [name, agent] : agents_) {
    v1::AgentState& state = states.emplace_back(agent.state);
    if (agent.status != nullptr) {
      *state.mutable_status() = *agent.status;
      state.mutable_status()->clear_pods();
    }
    state.set_connected(agent.session_id != nullptr);
    state.mutable_last_seen_time()->set_seconds(agent.last_seen_ns / kNsPerSecond);
    state.mutable_last_seen_time()->set_nanos(
        static_cast<int32_t>(agent.last_seen_ns % kNsPerSecond));
  }
  return states;
}

}  // namespace podtap::ingest
