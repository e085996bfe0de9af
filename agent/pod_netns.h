// When pods are tapped inside their own network namespaces: the value of --pod-netns.
#pragma once

#include <cstdint>

namespace podtap {

enum class PodNetnsMode : uint8_t {
  kNever,
  // Pods that no interface of the host leads to, or whose host interface sees one direction only.
  kFallback,
  kAlways,
};

}  // namespace podtap
