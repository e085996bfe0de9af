// The first handshake message of one direction, put together from TLS records (RFC 8446 section
// 5.1): it may span several, and each may come in any number of pieces.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "agent/tls/hello.h"

namespace podtap::tls {

// Bytes of a direction that are looked at; a hello that does not fit is incomplete. The kernel side
// copies at least as many (PT_UNDECIDED_BYTES).
inline constexpr size_t kMaxHandshakeBytes = 4096;

// Memory grows with the bytes that came, never by a length that they claim.
class HelloReader {
 public:
  enum class State : uint8_t {
    kReading,
    // The message is there.
    kRead,
    // These are no records of a handshake, or the message is another one.
    kMalformed,
    // It is too long, an alert came instead, or the caller gave up.
    kIncomplete,
  };

  explicit HelloReader(HelloKind kind) : kind_(kind) {}

  // Reads on, and nothing any more once the state is another than kReading.
  void Read(std::span<const uint8_t> bytes);
  // The next bytes will never be seen.
  void GiveUp();

  State state() const { return state_; }
  // With kRead: the message behind its type and length.
  std::span<const uint8_t> body() const;

 private:
  // Both return how many bytes they took.
  size_t TakeRecordHeader(uint8_t byte);
  size_t TakeFragment(std::span<const uint8_t> bytes);
  // Of the message, its type and length included; as far as known.
  size_t MessageSize() const;

  const HelloKind kind_;
  State state_ = State::kReading;
  size_t taken_ = 0;
  std::array<uint8_t, 5> header_{};
  size_t header_size_ = 0;
  // Of the current record.
  size_t fragment_left_ = 0;
  std::vector<uint8_t> message_;
};

}  // namespace podtap::tls
