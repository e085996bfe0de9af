#include "common/backoff.h"

#include <algorithm>

namespace podtap {

int64_t Backoff::NextDelayNs() {
  const auto delay_ns = static_cast<int64_t>(random_() * static_cast<double>(bound_ns_));
  bound_ns_ = std::min(bound_ns_ * 2, limits_.max_ns);
  return delay_ns;
}

}  // namespace podtap
