// Waiting for a condition instead of for a time.
#pragma once

#include <chrono>
#include <thread>

namespace podtap::testing {

// Polls `condition` until it holds; false when it does not within `seconds`.
template <typename Condition>
bool WaitUntil(Condition condition, double seconds = 10) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) {
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

}  // namespace podtap::testing
