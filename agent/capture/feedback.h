// Value: what user space tells the kernel side about a connection, to save copying. Nothing may
// depend on it arriving in time: it races with what is in flight.
#pragma once

#include <cstdint>
#include <optional>

#include "agent/capture/segment.h"

namespace podtap::capture {

// What is known about a connection.
enum class Verdict : uint8_t {
  kUndecided = 0,
  // Speaks HTTP/1: lifts the kernel side's limit for undecided connections.
  kHttp = 1,
  // Nothing more is wanted of it: not HTTP, a tunnel, or upgraded.
  kOpaque = 2,
};

struct Feedback {
  Verdict verdict = Verdict::kUndecided;
  // By Direction: payload bytes before this sequence number need no copy. At most 1 GiB ahead of
  // the newest byte seen.
  std::optional<uint32_t> skip_until[2];
};

// Takes feedback. Called on the pipeline's thread.
class FeedbackSink {
 public:
  virtual ~FeedbackSink() = default;
  virtual void OnFeedback(const ConnectionKey& key, const Feedback& feedback) = 0;
  // The connection is over and forgotten; the kernel side may forget it too.
  virtual void OnForgotten(const ConnectionKey& key) = 0;
};

}  // namespace podtap::capture
