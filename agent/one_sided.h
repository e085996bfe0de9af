// Tells taps that see one direction of their pod's traffic only: some networks deliver packets past
// the host's end of a pod's pair, to the pod or from it. Pure: counters and times come in.
#pragma once

#include <cstdint>

#include "agent/capture/tap_counters.h"
#include "agent/enrichment/event.h"

namespace podtap {

// What went by on one tap since it was opened.
struct SeenPackets {
  capture::TcpPackets from_pod;
  capture::TcpPackets to_pod;
  // Of any kind, both ways, as the interface counts them: cheaper to ask for.
  uint64_t crossed = 0;
};

// One tap's traffic, judged over windows. A window ends when some seconds have passed and one
// direction had many packets with payload. The other direction is missing when it had next to no
// TCP packet of any kind: a receiver acknowledges what it gets, so a bulk transfer has packets both
// ways. What has no payload (SYNs that nobody answers) and what is not TCP tell nothing.
class OneSidedWatch {
 public:
  static constexpr int64_t kWindowNs = int64_t{5} * 1'000'000'000;
  // A window with less is begun anew: few packets tell nothing, however long it takes.
  static constexpr int64_t kLongestWindowNs = int64_t{60} * 1'000'000'000;
  static constexpr uint64_t kManyPackets = 64;
  // Packets with payload for each packet of the other direction: acknowledgements of large segments
  // are far more than that.
  static constexpr uint64_t kPacketsPerAnswer = 200;
  // In a row, before a tap is called one-sided: a peer that is gone is sent to for a while.
  static constexpr int kWindows = 3;

  // Takes what went by until now. The sides that the tap sees, as far as known by now.
  enrichment::Sides Observe(const SeenPackets& seen, int64_t now_ns);
  // Whether it is time to look at what went by and to call Observe(), when so many packets have
  // crossed the interface: more often makes no difference.
  bool IsDue(uint64_t crossed, int64_t now_ns) const {
    return due_ns_ == 0 || (now_ns >= due_ns_ && (crossed >= before_.crossed + kManyPackets ||
                                                  now_ns >= begin_ns_ + kLongestWindowNs));
  }

 private:
  void Begin(const SeenPackets& seen, int64_t now_ns);

  SeenPackets before_;
  int64_t begin_ns_ = 0;
  int64_t due_ns_ = 0;
  // What the newest windows have found, and how many in a row.
  enrichment::Sides found_ = enrichment::Sides::kBoth;
  int in_a_row_ = 0;
  enrichment::Sides sides_ = enrichment::Sides::kBoth;
};

}  // namespace podtap
