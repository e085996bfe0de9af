// Drains one ring: kernel records in, segments out.
//
// The kernel side wakes the reader only when a good many bytes have gathered; the reader polls
// otherwise. So at low rates a record waits up to the poll interval, and at high rates one wake-up
// serves many records.
//
// What is read is put to the account of its tap, where the kernel side looks to tell who holds more
// of the ring than its share.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "absl/status/statusor.h"
#include "agent/capture/capture_program.h"
#include "agent/capture/segment.h"
#include "common/counter.h"
#include "common/unique_fd.h"

struct ring_buffer;

namespace podtap::capture {

// One thread reads; WakeUp() may come from any.
class RingReader {
 public:
  using Handler = std::function<void(const Segment&)>;

  // Borrows the program. `ring` is an index below program.rings(), with one reader each. `handler`
  // is called from Read().
  static absl::StatusOr<std::unique_ptr<RingReader>> Create(const CaptureProgram& program,
                                                            uint32_t ring, Handler handler);
  ~RingReader();

  // Waits until the kernel side or WakeUp() asks for attention, at most `timeout_ms`.
  void Wait(int timeout_ms);
  // Handles what is in the ring, at most some thousand records. True when the ring was emptied.
  bool Read();
  // Ends a Wait() that is running or comes next.
  void WakeUp();

  template <typename Visitor>
  void Visit(Visitor visit) const {
    visit(CounterValue{"records_read", records_, record_bytes_});
    visit(CounterValue{"records_malformed", malformed_, 0, true});
  }

 private:
  struct RingDestroyer {
    void operator()(ring_buffer* ring) const;
  };
  RingReader(uint32_t ring, Handler handler) : ring_index_(ring), handler_(std::move(handler)) {}
  absl::Status MapTaken(const CaptureProgram& program);
  void Account(std::span<const uint8_t> record);
  static int OnRecord(void* context, void* data, size_t size);

  const uint32_t ring_index_;
  Handler handler_;
  std::unique_ptr<ring_buffer, RingDestroyer> ring_;
  // Bytes read, by PT_RING_ACCOUNT; shared with the kernel side and the other rings' readers.
  std::unique_ptr<uint64_t[], std::function<void(uint64_t*)>> taken_;
  UniqueFd epoll_;
  UniqueFd wakeup_;
  uint64_t batch_ = 0;
  uint64_t records_ = 0;
  uint64_t record_bytes_ = 0;
  uint64_t malformed_ = 0;
};

}  // namespace podtap::capture
