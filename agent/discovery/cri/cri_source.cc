#include "agent/discovery/cri/cri_source.h"

#include <sys/eventfd.h>
#include <sys/stat.h>

#include <algorithm>
#include <random>
#include <utility>

#include "absl/strings/str_join.h"
#include "common/log.h"
#include "common/status.h"

namespace podtap::discovery::cri {
namespace {

using std::chrono::nanoseconds;
using std::chrono::steady_clock;

// After a round of so long a pause of kPauseFactor times as long.
constexpr int kPauseFactor = 10;
constexpr nanoseconds kShortestPause = std::chrono::milliseconds(20);
constexpr nanoseconds kLongestPause = std::chrono::seconds(5);

std::function<double()> RandomSource() {
  return [engine = std::mt19937_64(std::random_device()())]() mutable {
    return std::uniform_real_distribution<double>(0.0, 1.0)(engine);
  };
}

}  // namespace

absl::Status CheckSocket(const std::string& path) {
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) {
    return errno == ENOENT || errno == ENOTDIR ? absl::NotFoundError("no such socket")
                                               : ErrnoStatus(errno, "look at it");
  }
  return S_ISSOCK(status.st_mode) ? absl::OkStatus() : absl::NotFoundError("not a socket");
}

std::vector<std::string> UsualSocketPaths() {
  return {"/run/containerd/containerd.sock", "/run/crio/crio.sock", "/run/cri-dockerd.sock",
          "/run/k3s/containerd/containerd.sock", "/var/snap/microk8s/common/run/containerd.sock"};
}

absl::StatusOr<std::unique_ptr<CriSource>> CriSource::Start(CriSourceOptions options) {
  UniqueFd changed(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!changed.valid()) {
    return ErrnoStatus(errno, "watch the container runtime");
  }
  std::unique_ptr<CriSource> source(new CriSource(std::move(options), std::move(changed)));
  source->thread_ = std::thread([raw = source.get()] { raw->Run(); });
  return source;
}

CriSource::CriSource(CriSourceOptions options, UniqueFd changed)
    : options_(std::move(options)),
      changed_(std::move(changed)),
      backoff_(options_.backoff, RandomSource()) {
  for (const std::string& path : options_.socket_paths) {
    candidates_.push_back(
        {.socket_path = path, .lister = PodLister(options_.lister), .client = nullptr});
  }
}

CriSource::~CriSource() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    wanted_.notify_all();
  }
  gate_.Close();
  if (thread_.joinable()) {
    thread_.join();
  }
}

absl::StatusOr<PodList> CriSource::List() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t taken = ::read(changed_.get(), &count, sizeof(count));
  const std::lock_guard lock(mutex_);
  return list_;
}

void CriSource::Refresh() {
  const std::lock_guard lock(mutex_);
  refresh_ = true;
  wanted_.notify_all();
}

void CriSource::Notify() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(changed_.get(), &one, sizeof(one));
}

bool CriSource::IsStopping() {
  const std::lock_guard lock(mutex_);
  return stopping_;
}

void CriSource::Run() {
  absl::Status status;
  steady_clock::time_point begin;
  do {
    {
      // What is asked for from here on may be too late for this round.
      const std::lock_guard lock(mutex_);
      refresh_ = false;
    }
    begin = steady_clock::now();
    status = Round();
    if (IsStopping()) {
      return;
    }
    LogOutcome(status);
    is_current_ = status.ok();
    if (!has_tried_.exchange(true)) {
      Notify();
    }
  } while (WaitForNext(!status.ok(), steady_clock::now() - begin));
}

absl::Status CriSource::Round() {
  PODTAP_RETURN_IF_ERROR(is_settled_ ? AskOne(*runtime_) : FindRuntime());
  Publish(runtime_->lister.list());
  return absl::OkStatus();
}

absl::Status CriSource::AskOne(Candidate& candidate) {
  if (candidate.client == nullptr) {
    PODTAP_RETURN_IF_ERROR(CheckSocket(candidate.socket_path));
    candidate.client =
        std::make_unique<RuntimeClient>(candidate.socket_path, options_.calls, gate_);
  }
  absl::Status status = candidate.lister.Refresh(*candidate.client, steady_clock::now());
  if (!status.ok()) {
    candidate.client = nullptr;
  }
  return status;
}

absl::Status CriSource::FindRuntime() {
  Candidate* found = nullptr;
  std::vector<std::string> reasons;
  for (Candidate& candidate : candidates_) {
    const absl::Status status = AskOne(candidate);
    if (!status.ok()) {
      reasons.push_back(candidate.socket_path + ": " + std::string(status.message()));
      continue;
    }
    is_settled_ = !candidate.lister.list().pods.empty();
    if (found == nullptr || is_settled_) {
      found = &candidate;
    }
    if (is_settled_) {
      break;
    }
  }
  if (found == nullptr) {
    return absl::UnavailableError(absl::StrJoin(reasons, "; "));
  }
  if (found != runtime_) {
    runtime_ = found;
    PODTAP_LOG_INFO("pods come from the container runtime at {}", found->socket_path);
  }
  return absl::OkStatus();
}

void CriSource::Publish(const PodList& list) {
  bool changed = false;
  {
    const std::lock_guard lock(mutex_);
    changed = list_ != list;
    if (changed) {
      list_ = list;
    }
  }
  // After the list: who sees that there was an answer finds it.
  changed |= !has_answered_.exchange(true);
  if (changed) {
    Notify();
  }
}

void CriSource::LogOutcome(const absl::Status& status) {
  if (status.ok()) {
    if (is_away_) {
      PODTAP_LOG_INFO("the container runtime at {} answers again", runtime_->socket_path);
    }
    is_away_ = false;
    failure_logged_ = false;
    return;
  }
  is_away_ = is_settled_;
  if (!failure_logged_ && is_settled_) {
    PODTAP_LOG_WARN("the container runtime at {}: {}; its pods stay as they were",
                    runtime_->socket_path, std::string(status.message()));
  } else if (!failure_logged_) {
    PODTAP_LOG_WARN("no container runtime answers ({}); {}", std::string(status.message()),
                    options_.meanwhile);
  }
  failure_logged_ = true;
}

bool CriSource::WaitForNext(bool failed, nanoseconds round_time) {
  if (!failed) {
    backoff_.Reset();
  }
  if (!failed && runtime_->lister.has_more()) {
    return !IsStopping();
  }
  const nanoseconds pause =
      failed ? nanoseconds(backoff_.NextDelayNs())
             : std::clamp(round_time * kPauseFactor, kShortestPause, kLongestPause);
  std::unique_lock lock(mutex_);
  wanted_.wait_for(lock, pause, [&] { return stopping_; });
  if (!failed) {
    wanted_.wait(lock, [&] { return stopping_ || refresh_; });
  }
  return !stopping_;
}

}  // namespace podtap::discovery::cri
