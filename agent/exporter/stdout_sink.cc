#include "agent/exporter/stdout_sink.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>

#include "common/event_text.h"

namespace podtap::exporter {
namespace {

using std::chrono::steady_clock;

// How soon a stop is noticed while the reader takes nothing.
constexpr int kPollMs = 50;

}  // namespace

StdoutSink::StdoutSink(StdoutSinkOptions options, std::function<void(int)> on_closed)
    : options_(std::move(options)), on_closed_(std::move(on_closed)) {
  thread_ = std::thread([this] { Run(); });
}

StdoutSink::~StdoutSink() { Stop(std::chrono::milliseconds(0)); }

void StdoutSink::OnEvent(const enrichment::Event& event) {
  const std::lock_guard lock(mutex_);
  const uint64_t sequence = ++counters_.events;
  if (closed_ || stopping_ || queue_.size() >= options_.max_queued) {
    ++counters_.dropped;
    return;
  }
  queue_.push_back({sequence, event});
  changed_.notify_one();
}

void StdoutSink::Stop(std::chrono::milliseconds timeout) {
  if (!thread_.joinable()) {
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    stop_deadline_ = steady_clock::now() + timeout;
    changed_.notify_one();
  }
  thread_.join();
}

StdoutSinkCounters StdoutSink::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

bool StdoutSink::TimeIsUp() const {
  const std::lock_guard lock(mutex_);
  return stopping_ && steady_clock::now() >= stop_deadline_;
}

bool StdoutSink::TakeSome(std::deque<Numbered>& some) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
  some.swap(queue_);
  return !some.empty();
}

void StdoutSink::Run() {
  std::deque<Numbered> some;
  while (TakeSome(some)) {
    uint64_t printed = 0;
    for (const Numbered& numbered : some) {
      if (closed_ || !Write(Line(numbered))) {
        break;
      }
      ++printed;
    }
    const std::lock_guard lock(mutex_);
    counters_.printed += printed;
    counters_.dropped += some.size() - printed;
    some.clear();
  }
}

std::string StdoutSink::Line(const Numbered& numbered) const {
  v1::HttpEvent event;
  EncodeEvent(numbered.event, options_.origin, numbered.sequence, event);
  std::string line =
      options_.format == LineFormat::kJson ? JsonLine(event) : CompactLine(event, options_.colour);
  line += '\n';
  return line;
}

bool StdoutSink::WaitWritable() {
  while (!TimeIsUp()) {
    pollfd poll_fd{.fd = options_.fd, .events = POLLOUT, .revents = 0};
    const int ready = ::poll(&poll_fd, 1, kPollMs);
    if (ready > 0) {
      return true;
    }
    if (ready < 0 && errno != EINTR) {
      return false;
    }
  }
  return false;
}

bool StdoutSink::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    if (!WaitWritable()) {
      return false;
    }
    // A pipe that is writable takes this many bytes without blocking (pipe(7)).
    const ssize_t written =
        ::write(options_.fd, bytes.data(), std::min<size_t>(bytes.size(), PIPE_BUF));
    if (written >= 0) {
      bytes.remove_prefix(static_cast<size_t>(written));
    } else if (errno != EINTR && errno != EAGAIN) {
      const int error = errno;
      closed_ = true;
      if (on_closed_) {
        on_closed_(error);
      }
      return false;
    }
  }
  return true;
}

}  // namespace podtap::exporter
