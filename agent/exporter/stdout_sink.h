// Prints one line per event. A thread of its own writes, so that a slow reader never holds up the
// pipeline: what it can't take is dropped and counted.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "agent/enrichment/event.h"
#include "agent/exporter/event_encoder.h"
#include "common/counter.h"

namespace podtap::exporter {

enum class LineFormat : uint8_t { kCompact, kJson };

struct StdoutSinkOptions {
  EventOrigin origin;
  LineFormat format = LineFormat::kJson;
  // Compact lines only.
  bool colour = false;
  // Events that wait to be printed, besides those that the thread has taken; more are dropped.
  size_t max_queued = 8192;
  // Borrowed. Written in pieces that a pipe takes whole, after waiting that it can.
  int fd = 1;
};

// events = printed + dropped + those that wait.
struct StdoutSinkCounters {
  uint64_t events = 0;
  uint64_t printed = 0;
  // Lost: the reader was too slow, or is gone.
  uint64_t dropped = 0;

  template <typename Visitor>
  void Visit(Visitor&& visit) const {
    visit(CounterValue{.name = "lines", .count = events});
    visit(CounterValue{.name = "lines_printed", .count = printed});
    visit(CounterValue{.name = "lines_dropped", .count = dropped, .is_loss = true});
  }
};

// Thread-safe. SIGPIPE must be ignored.
class StdoutSink : public enrichment::EventSink {
 public:
  // `on_closed` is called once, on the sink's thread, with the errno of the write that failed:
  // EPIPE when nobody reads any more, ENOSPC when a disk is full. May be empty.
  explicit StdoutSink(StdoutSinkOptions options, std::function<void(int)> on_closed = {});
  // Stops at once when Stop() was not called.
  ~StdoutSink() override;

  void OnEvent(const enrichment::Event& event) override;
  // Prints what waits for up to `timeout`, drops the rest, and ends the thread.
  void Stop(std::chrono::milliseconds timeout);

  // Nobody reads any more; everything from here on is dropped.
  bool closed() const { return closed_; }
  StdoutSinkCounters counters() const;

 private:
  struct Numbered {
    uint64_t sequence;
    enrichment::Event event;
  };

  void Run();
  // Waits for events and takes those that wait; false when there will be none.
  bool TakeSome(std::deque<Numbered>& some);
  std::string Line(const Numbered& numbered) const;
  // False when the line could not be written whole.
  bool Write(std::string_view bytes);
  // Waits until a piece can be written without blocking.
  bool WaitWritable();
  bool TimeIsUp() const;

  const StdoutSinkOptions options_;
  const std::function<void(int)> on_closed_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Numbered> queue_;
  StdoutSinkCounters counters_;
  bool stopping_ = false;
  std::chrono::steady_clock::time_point stop_deadline_;
  std::atomic<bool> closed_{false};
  std::thread thread_;
};

}  // namespace podtap::exporter
