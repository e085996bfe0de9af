// When to look next. Pure: times come in.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

namespace podtap::discovery {

// A look asks for all interfaces and all pods, so few looks answer a burst of changes; what can't
// wait for one is told by the change itself. Times are monotonic nanoseconds.
class LookSchedule {
 public:
  // Without any change: in case a report was lost.
  static constexpr int64_t kSlowNs = 5'000'000'000;
  // For a while after a change: a namespace's file appears before the namespace is mounted on it,
  // which no watch reports.
  static constexpr int64_t kSettleEveryNs = 50'000'000;
  static constexpr int64_t kSettleForNs = 500'000'000;
  // So long when there are interfaces that lead to pods the source has yet to hear of: a runtime
  // lists a pod when it is ready, which is after its interface was made. After that less often: on
  // a busy machine it takes long, and the pod's first exchange waits for the name.
  static constexpr int64_t kMatchForNs = 2'000'000'000;
  static constexpr int64_t kLateMatchEveryNs = 250'000'000;
  static constexpr int64_t kLateMatchForNs = 15'000'000'000;
  // The pods' namespaces are looked at again after so long at the latest. What becomes of them is
  // told by reports of interfaces, ids and files, and by the source: without any of these for some
  // seconds the newest answer holds.
  static constexpr int64_t kNamespacesForNs = 30'000'000'000;
  static constexpr int64_t kNamespacesSettleNs = 4'000'000'000;
  // Between the end of a look and the next: in proportion, so that looking takes at most a quarter
  // of the time.
  static constexpr int64_t kLeastGapNs = 5'000'000;
  static constexpr int64_t kGapPerLook = 3;

  void OnChange(int64_t now_ns) {
    changed_ns_ = now_ns;
    due_ns_ = std::min(due_ns_, std::max(now_ns, earliest_ns_));
  }
  // `has_unmatched`: there were interfaces of pods that the source will tell of.
  void OnLook(int64_t begin_ns, int64_t end_ns, bool has_unmatched) {
    earliest_ns_ = end_ns + std::max(kLeastGapNs, (end_ns - begin_ns) * kGapPerLook);
    const int64_t quiet_ns = end_ns - changed_ns_;
    int64_t every_ns = kSlowNs;
    if (quiet_ns < (has_unmatched ? kMatchForNs : kSettleForNs)) {
      every_ns = kSettleEveryNs;
    } else if (has_unmatched && quiet_ns < kLateMatchForNs) {
      every_ns = kLateMatchEveryNs;
    }
    due_ns_ = std::max(end_ns + every_ns, earliest_ns_);
  }

  // Whether a look that begins now has to ask for the pods' namespaces.
  bool needs_namespaces(int64_t now_ns) const {
    return !namespaces_ns_ || *namespaces_ns_ < changed_ns_ + kNamespacesSettleNs ||
           now_ns >= *namespaces_ns_ + kNamespacesForNs;
  }
  // It began to.
  void OnNamespaces(int64_t now_ns) { namespaces_ns_ = now_ns; }
  // There are other pods than before.
  void OnPods() { namespaces_ns_.reset(); }

  // When the next look is due; at once before the first.
  int64_t due_ns() const { return due_ns_; }

 private:
  int64_t due_ns_ = 0;
  int64_t earliest_ns_ = 0;
  int64_t changed_ns_ = -kLateMatchForNs;
  std::optional<int64_t> namespaces_ns_;
};

}  // namespace podtap::discovery
