#include "agent/capture/ring_reader.h"

#include <bpf/libbpf.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <cstring>
#include <utility>

#include "agent/capture/record.h"
#include "common/status.h"

namespace podtap::capture {
namespace {

// So that time-outs are looked at also when the ring never runs dry.
constexpr uint64_t kMaxBatch = 4096;

}  // namespace

void RingReader::RingDestroyer::operator()(ring_buffer* ring) const { ring_buffer__free(ring); }

RingReader::~RingReader() = default;

absl::StatusOr<std::unique_ptr<RingReader>> RingReader::Create(const CaptureProgram& program,
                                                               uint32_t ring, Handler handler) {
  std::unique_ptr<RingReader> reader(new RingReader(ring, std::move(handler)));
  const int ring_fd = program.ring_fd(ring);
  reader->ring_.reset(ring_buffer__new(ring_fd, &OnRecord, reader.get(), nullptr));
  if (reader->ring_ == nullptr) {
    return ErrnoStatus(errno, "map capture ring");
  }
  PODTAP_RETURN_IF_ERROR(reader->MapTaken(program));
  reader->epoll_ = UniqueFd(::epoll_create1(EPOLL_CLOEXEC));
  reader->wakeup_ = UniqueFd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  // Edge-triggered: what counts is the kernel side's wake-up, not that there is something to read.
  epoll_event ring_event{.events = EPOLLIN | EPOLLET, .data = {.u64 = 0}};
  epoll_event wakeup_event{.events = EPOLLIN | EPOLLET, .data = {.u64 = 1}};
  if (!reader->epoll_.valid() || !reader->wakeup_.valid() ||
      ::epoll_ctl(reader->epoll_.get(), EPOLL_CTL_ADD, ring_fd, &ring_event) != 0 ||
      ::epoll_ctl(reader->epoll_.get(), EPOLL_CTL_ADD, reader->wakeup_.get(), &wakeup_event) != 0) {
    return ErrnoStatus(errno, "watch capture ring");
  }
  return reader;
}

absl::Status RingReader::MapTaken(const CaptureProgram& program) {
  const size_t bytes = size_t{program.rings()} * PT_MAX_TAPS * sizeof(uint64_t);
  void* const address =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, program.ring_taken_fd(), 0);
  if (address == MAP_FAILED) {
    return ErrnoStatus(errno, "map the ring's account");
  }
  taken_ = {static_cast<uint64_t*>(address), [bytes](uint64_t* taken) { ::munmap(taken, bytes); }};
  return absl::OkStatus();
}

void RingReader::Wait(int timeout_ms) {
  epoll_event event;
  ::epoll_wait(epoll_.get(), &event, 1, timeout_ms);
}

bool RingReader::Read() {
  batch_ = 0;
  return ring_buffer__consume(ring_.get()) >= 0;
}

void RingReader::WakeUp() {
  const uint64_t one = 1;
  // The counter can't overflow in practice, and any value wakes.
  [[maybe_unused]] const ssize_t written = ::write(wakeup_.get(), &one, sizeof(one));
}

void RingReader::Account(std::span<const uint8_t> record) {
  uint32_t tap = PT_MAX_TAPS;
  if (record.size() >= sizeof(pt_record)) {
    std::memcpy(&tap, record.data() + offsetof(pt_record, tap), sizeof(tap));
  }
  if (tap < PT_MAX_TAPS) {
    const std::atomic_ref<uint64_t> taken(taken_[PT_RING_ACCOUNT(ring_index_, tap)]);
    // This thread alone writes; the kernel side reads.
    taken.store(taken.load(std::memory_order_relaxed) + PT_RING_BYTES(record.size()),
                std::memory_order_relaxed);
  }
}

int RingReader::OnRecord(void* context, void* data, size_t size) {
  auto* reader = static_cast<RingReader*>(context);
  ++reader->records_;
  reader->record_bytes_ += size;
  const std::span<const uint8_t> record(static_cast<const uint8_t*>(data), size);
  reader->Account(record);
  Segment segment;
  if (ParseRecord(record, segment)) {
    reader->handler_(segment);
  } else {
    ++reader->malformed_;
  }
  return ++reader->batch_ < kMaxBatch ? 0 : -EAGAIN;
}

}  // namespace podtap::capture
