// Names and images of containers, asked of the container engines of this machine.
//
// Threading: a thread of its own asks; Find() takes what is known. An engine that is slow, hung or
// gone, or talks nonsense, delays nothing; what it listed last stays.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/discovery/proc/engine_call.h"
#include "agent/discovery/proc/engine_list.h"
#include "common/unique_fd.h"

namespace podtap::discovery::proc {

// The sockets of Docker and Podman.
std::vector<std::string> UsualEngineSockets();

// The containers that the engine at this socket runs.
absl::StatusOr<EngineList> AskForContainers(const std::string& socket_path,
                                            const EngineLimits& limits, int stop_fd = -1);

struct EngineOptions {
  std::vector<std::string> socket_paths = UsualEngineSockets();
  EngineLimits limits;
  // Between two rounds, at the least. A longer round is followed by a pause ten times as long.
  std::chrono::milliseconds pause{100};
  // Containers are renamed too.
  std::chrono::seconds refresh{30};
  // Rounds that may pass by a container without naming it.
  int max_tries = 5;
};

class EngineNames {
 public:
  // kUnavailable when the kernel gives no eventfd.
  static absl::StatusOr<std::unique_ptr<EngineNames>> Start(EngineOptions options = {});
  // Ends the call that is under way, and the thread.
  ~EngineNames();

  // The container of this id, as it was listed last. The engines are asked soon for one that is
  // not known. From any thread.
  std::optional<Container> Find(const std::string& id);

 private:
  using TimePoint = std::chrono::steady_clock::time_point;

  EngineNames(EngineOptions options, UniqueFd stop);
  void Run();
  // Asks all engines once.
  void Round();
  // Waits until somebody asks, or the end; false for the latter.
  bool WaitForNext(std::chrono::nanoseconds round_time);

  const EngineOptions options_;
  const UniqueFd stop_;

  std::mutex mutex_;
  std::condition_variable changed_;
  // Under the mutex. By socket.
  std::map<std::string, EngineList> lists_;
  // Ids that were asked for in vain, with the rounds since.
  std::map<std::string, int> unknown_;
  TimePoint asked_at_{};
  bool wanted_ = false;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace podtap::discovery::proc
