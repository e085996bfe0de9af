#include "agent/one_sided.h"

namespace podtap {
namespace {

using enrichment::Sides;

// Much of this, and next to nothing of that.
bool IsAlone(uint64_t with_payload, uint64_t others) {
  return with_payload >= OneSidedWatch::kManyPackets &&
         others <= with_payload / OneSidedWatch::kPacketsPerAnswer;
}

}  // namespace

Sides OneSidedWatch::Observe(const SeenPackets& seen, int64_t now_ns) {
  if (due_ns_ == 0) {
    Begin(seen, now_ns);
    return sides_;
  }
  if (now_ns < due_ns_) {
    return sides_;
  }
  due_ns_ = now_ns + kWindowNs;
  const uint64_t from_pod = seen.from_pod.with_payload - before_.from_pod.with_payload;
  const uint64_t to_pod = seen.to_pod.with_payload - before_.to_pod.with_payload;
  const bool has_many = from_pod >= kManyPackets || to_pod >= kManyPackets;
  if (!has_many && now_ns - begin_ns_ < kLongestWindowNs) {
    return sides_;
  }
  if (has_many) {
    const bool no_answers = IsAlone(from_pod, seen.to_pod.all - before_.to_pod.all);
    const bool no_questions = IsAlone(to_pod, seen.from_pod.all - before_.from_pod.all);
    const Sides found = no_answers     ? Sides::kFromPodOnly
                        : no_questions ? Sides::kToPodOnly
                                       : Sides::kBoth;
    in_a_row_ = found == found_ ? in_a_row_ + 1 : 1;
    found_ = found;
    // That both are seen needs no proof.
    if (found == Sides::kBoth || in_a_row_ >= kWindows) {
      sides_ = found;
    }
  }
  Begin(seen, now_ns);
  return sides_;
}

void OneSidedWatch::Begin(const SeenPackets& seen, int64_t now_ns) {
  before_ = seen;
  begin_ns_ = now_ns;
  due_ns_ = now_ns + kWindowNs;
}

}  // namespace podtap
