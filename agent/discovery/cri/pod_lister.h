// The pods of one runtime, kept up to date by asking it round after round.
//
// A round lists pods and containers, and asks for the network namespace of each pod that is not
// known yet, once. A pod whose namespace the runtime does not tell, or is too slow to tell, is
// listed without it and asked for again later, more and more rarely: one stuck pod must not keep
// the others from being named.
#pragma once

#include <chrono>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "agent/discovery/cri/runtime_client.h"
#include "agent/discovery/cri/sandbox_info.h"
#include "agent/discovery/pod_source.h"

namespace podtap::discovery::cri {

struct ListerLimits {
  size_t max_pods = 4096;
  // New pods asked for in one round, so that those known are told soon.
  int max_questions = 64;
  // A round in which so many answers were late asks no more.
  int max_late_answers = 2;
  std::chrono::milliseconds first_retry{250};
  std::chrono::milliseconds last_retry{30'000};
};

// Not thread-safe.
class PodLister {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  explicit PodLister(const ListerLimits& limits = {}) : limits_(limits) {}

  // One round. On failure what was known stays.
  absl::Status Refresh(RuntimeClient& client, TimePoint now);

  const PodList& list() const { return list_; }
  // There are pods that the round had no time to ask for.
  bool has_more() const { return has_more_; }

 private:
  // What is known of a sandbox's network.
  struct Network {
    bool known = false;
    bool host_network = false;
    std::string path;
    TimePoint next_try{};
    std::chrono::milliseconds retry{};
    // The newest round that listed it.
    uint64_t round = 0;
  };

  // Asks for what is not known yet. An error is one of the connection, not of the pod.
  absl::Status Resolve(RuntimeClient& client, TimePoint now);
  absl::Status Ask(RuntimeClient& client, const std::string& id, Network& network, TimePoint now);

  const ListerLimits limits_;
  // By sandbox id.
  std::map<std::string, Network> networks_;
  PodList list_;
  uint64_t round_ = 0;
  int late_answers_ = 0;
  bool has_more_ = false;
};

}  // namespace podtap::discovery::cri
