// The agents that the collector knows, one per node, with their newest state.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "podtap/v1/ingest_service.pb.h"
#include "podtap/v1/query_service.pb.h"

namespace podtap::ingest {

// A live stream of an agent.
class AgentSession {
 public:
  virtual ~AgentSession() = default;
  // A newer stream of the same node took over. Called on any thread.
  virtual void TakeOver() = 0;
};

// Thread-safe. Bounded: at the bound the agent gone longest makes room.
class AgentRegistry {
 public:
  explicit AgentRegistry(size_t max_nodes) : max_nodes_(max_nodes) {}

  // Makes `session` the node's. Returns the session it displaces, or nullptr; the caller calls its
  // TakeOver(). kResourceExhausted: the bound is reached and every agent is connected.
  absl::StatusOr<std::shared_ptr<AgentSession>> Connect(
      const v1::AgentHello& hello, const std::string& certificate_subject,
      const std::shared_ptr<AgentSession>& session, int64_t now_ns);

  // The others do nothing when `session` is no longer the node's.
  void Disconnect(const std::string& node_name, const AgentSession* session);
  void Heard(const std::string& node_name, const AgentSession* session, int64_t now_ns);
  void SetStatus(const std::string& node_name, const AgentSession* session, v1::AgentStatus status);
  void SetAcked(const std::string& node_name, const AgentSession* session, uint64_t epoch,
                uint64_t sequence);

  // Whatever session is the node's.
  void CountStored(const std::string& node_name, uint64_t events);

  // By node name; without the coverage of pods.
  std::vector<v1::AgentState> Snapshot() const;

  // The coverage of an agent's pods.
  struct Coverage {
    std::string node_name;
    std::string cluster_name;
    bool connected = false;
    // Newest status of the agent; never null.
    std::shared_ptr<const v1::AgentStatus> status;
  };
  // Of the agents that sent a status, by node name.
  std::vector<Coverage> AllCoverage() const;

  // The same in short.
  struct Totals {
    std::string node_name;
    bool connected = false;
    // Since the collector started.
    uint64_t events_stored = 0;
  };
  std::vector<Totals> AllTotals() const;

 private:
  struct Agent {
    // Without its status.
    v1::AgentState state;
    std::shared_ptr<const v1::AgentStatus> status;
    uint64_t epoch = 0;
    int64_t last_seen_ns = 0;
    uint64_t events_stored = 0;
    // Owned by its stream.
    std::weak_ptr<AgentSession> session;
    const AgentSession* session_id = nullptr;
  };

  bool MakeRoom();
  // nullptr when `session` is not the node's.
  Agent* FindOwned(const std::string& node_name, const AgentSession* session);

  const size_t max_nodes_;
  mutable std::mutex mutex_;
  std::map<std::string, Agent> agents_;
};

}  // namespace podtap::ingest
