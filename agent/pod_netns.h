// What is tapped inside pods' own network namespaces: the values of --pod-netns and --pod-loopback.
#pragma once

#include <cstdint>

namespace podtap {

enum class PodNetnsMode : uint8_t {
  kNever,
  // Pods that no interface of the host leads to, or whose host interface sees one direction only.
  kFallback,
  kAlways,
};

struct InsidePolicy {
  // Whose interfaces.
  PodNetnsMode interfaces = PodNetnsMode::kNever;
  // The loopback of all pods.
  bool loopback = false;

  bool enters_pods() const { return interfaces != PodNetnsMode::kNever || loopback; }
};

}  // namespace podtap
