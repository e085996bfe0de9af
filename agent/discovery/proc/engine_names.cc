#include "agent/discovery/proc/engine_names.h"

#include <sys/eventfd.h>

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "common/status.h"

namespace podtap::discovery::proc {
namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;

constexpr int kPauseFactor = 10;
// All that are remembered are forgotten beyond that: it costs a few more questions.
constexpr size_t kMaxUnknown = 4096;

}  // namespace

std::vector<std::string> UsualEngineSockets() {
  return {"/run/docker.sock", "/run/podman/podman.sock"};
}

absl::StatusOr<EngineList> AskForContainers(const std::string& socket_path,
                                            const EngineLimits& limits, int stop_fd) {
  PODTAP_ASSIGN_OR_RETURN(const std::string body,
                          AskEngine(socket_path, "/containers/json", limits, stop_fd));
  std::optional<EngineList> list = ParseEngineList(body);
  if (!list) {
    return absl::UnavailableError("the answer is no list of containers");
  }
  return *std::move(list);
}

absl::StatusOr<std::unique_ptr<EngineNames>> EngineNames::Start(EngineOptions options) {
  UniqueFd stop(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop.valid()) {
    return ErrnoStatus(errno, "ask container engines");
  }
  std::unique_ptr<EngineNames> names(new EngineNames(std::move(options), std::move(stop)));
  names->thread_ = std::thread([raw = names.get()] { raw->Run(); });
  return names;
}

EngineNames::EngineNames(EngineOptions options, UniqueFd stop)
    : options_(std::move(options)), stop_(std::move(stop)) {}

EngineNames::~EngineNames() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(stop_.get(), &one, sizeof(one));
  if (thread_.joinable()) {
    thread_.join();
  }
}

std::optional<Container> EngineNames::Find(const std::string& id) {
  const std::lock_guard lock(mutex_);
  std::optional<Container> found;
  for (const auto& [socket, list] : lists_) {
    if (const auto at = list.find(id); at != list.end()) {
      found = at->second;
    }
  }
  if (!found && unknown_.size() >= kMaxUnknown) {
    unknown_.clear();
  }
  if (steady_clock::now() - asked_at_ >= options_.refresh ||
      (!found && unknown_.emplace(id, 0).first->second < options_.max_tries)) {
    wanted_ = true;
    changed_.notify_all();
  }
  return found;
}

void EngineNames::Run() {
  steady_clock::time_point begin;
  do {
    begin = steady_clock::now();
    Round();
  } while (WaitForNext(steady_clock::now() - begin));
}

void EngineNames::Round() {
  {
    // What is asked for from here on may be too late for this round.
    const std::lock_guard lock(mutex_);
    wanted_ = false;
    if (steady_clock::now() - asked_at_ >= options_.refresh) {
      unknown_.clear();
    }
    asked_at_ = steady_clock::now();
    for (auto& [id, tries] : unknown_) {
      ++tries;
    }
  }
  for (const std::string& socket : options_.socket_paths) {
    absl::StatusOr<EngineList> answer = AskForContainers(socket, options_.limits, stop_.get());
    if (!answer.ok()) {
      PODTAP_LOG_DEBUG("no names of containers from {}: {}", socket,
                       std::string(answer.status().message()));
      continue;
    }
    const std::lock_guard lock(mutex_);
    if (lists_.insert_or_assign(socket, *std::move(answer)).second) {
      PODTAP_LOG_INFO("names of containers come from {}", socket);
    }
    for (const auto& [id, container] : lists_[socket]) {
      unknown_.erase(id);
    }
  }
}

bool EngineNames::WaitForNext(nanoseconds round_time) {
  std::unique_lock lock(mutex_);
  const nanoseconds pause = std::max<nanoseconds>(options_.pause, round_time * kPauseFactor);
  changed_.wait_for(lock, pause, [&] { return stopping_; });
  changed_.wait(lock, [&] { return stopping_ || wanted_; });
  return !stopping_;
}

}  // namespace podtap::discovery::proc
