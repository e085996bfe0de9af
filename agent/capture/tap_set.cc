#include "agent/capture/tap_set.h"

#include <atomic>
#include <utility>

#include "common/status.h"

namespace podtap::capture {
namespace {

// Closing one socket waits for the kernel some 12 ms, whatever the number of those who wait.
constexpr size_t kMaxClosingThreads = 32;

}  // namespace

TapSet::TapSet(const CaptureProgram& program, ClosedHandler on_closed)
    : program_(program),
      on_closed_(std::move(on_closed)),
      generations_(PT_MAX_TAPS),
      in_use_(PT_MAX_TAPS),
      closer_([this] { RunCloser(); }) {}

TapSet::~TapSet() {
  CloseAll();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_closer_.notify_one();
  closer_.join();
}

absl::StatusOr<TapId> TapSet::Reserve() {
  const std::lock_guard lock(mutex_);
  for (uint32_t slot = 0; slot < PT_MAX_TAPS; ++slot) {
    if (!in_use_[slot]) {
      in_use_[slot] = true;
      return TapId{slot, ++generations_[slot]};
    }
  }
  return absl::ResourceExhaustedError(
      absl::StrFormat("reserve tap: all %d are in use", PT_MAX_TAPS));
}

absl::Status TapSet::Open(const TapId& tap, uint32_t interface_index, Polarity polarity) {
  const auto open = [&]() -> absl::StatusOr<PacketTap> {
    PODTAP_ASSIGN_OR_RETURN(const UniqueFd dispatcher, program_.MakeDispatcher(tap, polarity));
    return PacketTap::Open(interface_index, dispatcher.get());
  };
  absl::StatusOr<PacketTap> opened = open();
  const std::lock_guard lock(mutex_);
  if (!opened.ok()) {
    in_use_[tap.slot] = false;
    return opened.status();
  }
  open_.emplace(tap.slot, *std::move(opened));
  return absl::OkStatus();
}

void TapSet::Close(const TapId& tap) {
  {
    const std::lock_guard lock(mutex_);
    auto node = open_.extract(tap.slot);
    PODTAP_CHECK(!node.empty() && generations_[tap.slot] == tap.generation);
    closing_.emplace_back(tap, std::move(node.mapped()));
  }
  wake_closer_.notify_one();
}

void TapSet::CloseAll() {
  std::unique_lock lock(mutex_);
  for (auto& [slot, tap] : open_) {
    closing_.emplace_back(TapId{slot, generations_[slot]}, std::move(tap));
  }
  open_.clear();
  wake_closer_.notify_one();
  closer_idle_.wait(lock, [&] { return closing_.empty() && !busy_; });
}

void TapSet::WaitUntilClosed() {
  std::unique_lock lock(mutex_);
  closer_idle_.wait(lock, [&] { return closing_.empty() && !busy_; });
}

bool TapSet::IsBound(const TapId& tap) const {
  const std::lock_guard lock(mutex_);
  return open_.at(tap.slot).IsBound();
}

size_t TapSet::open_count() const {
  const std::lock_guard lock(mutex_);
  return open_.size();
}

absl::StatusOr<TapCounters> TapSet::Counters(const TapId& tap) const {
  const std::lock_guard lock(mutex_);
  if (!in_use_[tap.slot] || generations_[tap.slot] != tap.generation) {
    return absl::NotFoundError("read counters: the tap is closed");
  }
  return program_.ReadCounters(tap.slot);
}

absl::StatusOr<AllCounters> TapSet::ReadAll() const {
  // Under the lock: a tap that closes meanwhile would be counted twice or not at all.
  const std::lock_guard lock(mutex_);
  AllCounters all{.by_tap = {}, .totals = closed_totals_};
  all.by_tap.reserve(open_.size());
  for (uint32_t slot = 0; slot < PT_MAX_TAPS; ++slot) {
    if (!in_use_[slot]) {
      continue;
    }
    PODTAP_ASSIGN_OR_RETURN(const TapCounters counters, program_.ReadCounters(slot));
    Add(all.totals, counters);
    all.by_tap.emplace(TapId{slot, generations_[slot]}, counters);
  }
  return all;
}

void TapSet::RunCloser() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_closer_.wait(lock, [&] { return stopping_ || !closing_.empty(); });
    if (closing_.empty()) {
      return;
    }
    std::vector<std::pair<TapId, PacketTap>> batch = std::exchange(closing_, {});
    busy_ = true;
    lock.unlock();
    std::vector<TapId> ids;
    ids.reserve(batch.size());
    for (const auto& [id, tap] : batch) {
      ids.push_back(id);
    }
    std::vector<std::thread> threads;
    threads.reserve(kMaxClosingThreads);
    std::atomic<size_t> next = 0;
    for (size_t i = 0; i < std::min(batch.size(), kMaxClosingThreads); ++i) {
      threads.emplace_back([&] {
        for (size_t index = next++; index < batch.size(); index = next++) {
          const PacketTap closed = std::move(batch[index].second);
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    for (const TapId& id : ids) {
      FinishClosing(id);
    }
    lock.lock();
    busy_ = false;
    closer_idle_.notify_all();
  }
}

void TapSet::FinishClosing(const TapId& tap) {
  {
    const std::lock_guard lock(mutex_);
    const absl::StatusOr<TapCounters> counters = program_.ReadCounters(tap.slot);
    // Reading one's own map fails only on a bug of ours.
    PODTAP_CHECK(counters.ok() && program_.ClearCounters(tap.slot).ok());
    Add(closed_totals_, *counters);
    in_use_[tap.slot] = false;
  }
  on_closed_(tap);
}

}  // namespace podtap::capture
