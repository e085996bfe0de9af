// The taps that are open: slots, generations, counters, and closing off the caller's thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "agent/capture/capture_program.h"
#include "agent/capture/packet_tap.h"

namespace podtap::capture {

// As of one moment.
struct AllCounters {
  // Of the taps that are open or being closed.
  absl::flat_hash_map<TapId, TapCounters> by_tap;
  // Sums over these and all that were closed since the start.
  TapCounters totals{};
};

// Thread-safe. Borrows the program.
class TapSet {
 public:
  // Called on the closing thread once a tap's socket is closed: from then on no record of it can
  // enter the ring, though some may still be in it.
  using ClosedHandler = std::function<void(TapId)>;

  TapSet(const CaptureProgram& program, ClosedHandler on_closed);
  // Closes all taps and waits for that.
  ~TapSet();

  // A free slot with a generation of its own, so that the id can be published before the tap's
  // first packet. kResourceExhausted when all PT_MAX_TAPS are in use.
  absl::StatusOr<TapId> Reserve();
  // Opens the tap on `interface_index`. On failure the slot is free again.
  absl::Status Open(const TapId& tap, uint32_t interface_index, Polarity polarity);
  // Begins to close the tap; its slot is free when that is done.
  void Close(const TapId& tap);
  // Closes all taps, and waits until those and the ones closing before are closed and handled.
  void CloseAll();
  // Waits until the taps that are being closed are closed and handled.
  void WaitUntilClosed();
  // False when its interface is gone. The tap is open.
  bool IsBound(const TapId& tap) const;
  size_t open_count() const;

  // Of one tap. kNotFound when it is closed.
  absl::StatusOr<TapCounters> Counters(const TapId& tap) const;
  // Of all. A system call for each tap: whoever needs several of them asks once.
  absl::StatusOr<AllCounters> ReadAll() const;

 private:
  void RunCloser();
  void FinishClosing(const TapId& tap);

  const CaptureProgram& program_;
  const ClosedHandler on_closed_;

  mutable std::mutex mutex_;
  std::condition_variable wake_closer_;
  std::condition_variable closer_idle_;
  bool stopping_ = false;
  // The closer is at work on a batch.
  bool busy_ = false;
  // Uses of each slot so far.
  std::vector<uint32_t> generations_;
  std::vector<bool> in_use_;
  std::map<uint32_t, PacketTap> open_;
  std::vector<std::pair<TapId, PacketTap>> closing_;
  TapCounters closed_totals_{};
  std::thread closer_;
};

}  // namespace podtap::capture
