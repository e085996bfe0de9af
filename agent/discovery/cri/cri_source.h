// Pod source `cri`: the pods of the node's container runtime, asked for over its socket.
//
// Threading: a thread of its own asks; the look takes the newest list there is. A runtime that is
// slow, hung, restarting or gone delays nothing: its pods stay as they were last listed until it
// answers again. Only a list that was answered can take a pod away.
//
// Polling: each Refresh() leads to one round, soon, but so that asking takes at most a tenth of the
// time. Refreshes come after each change of the node's interfaces and every few seconds.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/discovery/cri/pod_lister.h"
#include "agent/discovery/cri/runtime_client.h"
#include "agent/discovery/pod_source.h"
#include "common/backoff.h"
#include "common/unique_fd.h"

namespace podtap::discovery::cri {

struct CriSourceOptions {
  // Sockets to look for a runtime at, the likeliest first. The first that lists a pod is it, from
  // then on; until then the first that answers.
  std::vector<std::string> socket_paths;
  // Completes "no container runtime answers (…): " in the log.
  std::string meanwhile = "waiting for one";
  CallLimits calls;
  ListerLimits lister;
  // After a round that failed.
  BackoffLimits backoff{.first_ns = 250'000'000, .max_ns = int64_t{5} * 1'000'000'000};
};

// Whether there is a socket, before gRPC tries, whose words for it are many.
absl::Status CheckSocket(const std::string& path);

// The sockets of containerd (also k3s' and MicroK8s'), CRI-O and cri-dockerd.
std::vector<std::string> UsualSocketPaths();

// PodSource's methods belong to the thread that looks.
class CriSource : public PodSource {
 public:
  // kUnavailable when the kernel gives no eventfd.
  static absl::StatusOr<std::unique_ptr<CriSource>> Start(CriSourceOptions options);
  // Ends the call that is under way, and the thread.
  ~CriSource() override;

  absl::StatusOr<PodList> List() override;
  void Refresh() override;
  bool is_current() const override { return is_current_; }
  int changed_fd() const override { return changed_.get(); }

  // All sockets have been tried once. From any thread.
  bool has_tried() const { return has_tried_; }
  // A runtime has answered at some time. From any thread.
  bool has_answered() const { return has_answered_; }

 private:
  // One runtime, or what may become one.
  struct Candidate {
    std::string socket_path;
    PodLister lister;
    // Null while there is no connection.
    std::unique_ptr<RuntimeClient> client;
  };

  CriSource(CriSourceOptions options, UniqueFd changed);

  void Run();
  // Asks the runtime, or looks for one. The status says why nobody answered.
  absl::Status Round();
  absl::Status AskOne(Candidate& candidate);
  absl::Status FindRuntime();
  void Publish(const PodList& list);
  void LogOutcome(const absl::Status& status);
  void Notify();
  bool IsStopping();
  // Waits until there is a reason for the next round, or the end; false for the latter.
  bool WaitForNext(bool failed, std::chrono::nanoseconds round_time);

  const CriSourceOptions options_;
  const UniqueFd changed_;
  CallGate gate_;
  std::atomic<bool> has_tried_{false};
  std::atomic<bool> has_answered_{false};
  // Answered in the newest round.
  std::atomic<bool> is_current_{false};

  std::mutex mutex_;
  std::condition_variable wanted_;
  // Under the mutex.
  PodList list_;
  bool refresh_ = false;
  bool stopping_ = false;

  // The thread's own.
  std::vector<Candidate> candidates_;
  Candidate* runtime_ = nullptr;
  // The runtime has listed a pod: no other is looked for any more.
  bool is_settled_ = false;
  // Said once, until a round succeeds again.
  bool failure_logged_ = false;
  // The settled runtime does not answer.
  bool is_away_ = false;
  Backoff backoff_;
  std::thread thread_;
};

}  // namespace podtap::discovery::cri
