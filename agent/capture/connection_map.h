// The kernel side's tables of connections, as user space uses them: feedback in, forgotten out.
#pragma once

#include <cstdint>

#include "agent/capture/capture_program.h"
#include "agent/capture/feedback.h"
#include "common/counter.h"

namespace podtap::capture {

// Not thread-safe, but for Sweep(). Borrows the program.
class ConnectionMap : public FeedbackSink {
 public:
  explicit ConnectionMap(const CaptureProgram& program) : program_(program) {}

  void OnFeedback(const ConnectionKey& key, const Feedback& feedback) override;
  void OnForgotten(const ConnectionKey& key) override;

  // Removes connections that nothing was reported of since `idle_since_ns`: those that user space
  // never heard of because the ring refused all their records. Walks the whole table; call it once
  // a minute, from any one thread. Returns how many were removed.
  uint64_t Sweep(int64_t idle_since_ns) const;

  template <typename Visitor>
  void Visit(Visitor visit) const {
    visit(CounterValue{"feedback_posted", posted_});
    visit(CounterValue{"feedback_refused", refused_});
  }

 private:
  const CaptureProgram& program_;
  uint64_t posted_ = 0;
  // The table was full: costs copying, loses nothing.
  uint64_t refused_ = 0;
};

}  // namespace podtap::capture
