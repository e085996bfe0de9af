#include "agent/tls/hello_reader.h"

#include <algorithm>

namespace podtap::tls {
namespace {

constexpr uint8_t kAlertRecord = 21;
constexpr uint8_t kMajorVersion = 3;
constexpr size_t kMaxFragmentBytes = 1 << 14;
constexpr size_t kRecordHeaderBytes = 5;
constexpr size_t kMessageHeaderBytes = 4;

}  // namespace

void HelloReader::Read(std::span<const uint8_t> bytes) {
  while (state_ == State::kReading && !bytes.empty()) {
    const std::span<const uint8_t> within =
        bytes.first(std::min(bytes.size(), kMaxHandshakeBytes - taken_));
    const size_t taken =
        fragment_left_ > 0 ? TakeFragment(within) : TakeRecordHeader(within.front());
    taken_ += taken;
    bytes = bytes.subspan(taken);
    if (state_ == State::kReading && taken_ == kMaxHandshakeBytes) {
      state_ = State::kIncomplete;
    }
  }
}

size_t HelloReader::TakeRecordHeader(uint8_t byte) {
  header_[header_size_++] = byte;
  if (header_size_ == 1 && byte == kAlertRecord && kind_ == HelloKind::kServer) {
    state_ = State::kIncomplete;
  } else if ((header_size_ == 1 && byte != kHandshakeRecord) ||
             (header_size_ == 2 && byte != kMajorVersion)) {
    state_ = State::kMalformed;
  } else if (header_size_ == kRecordHeaderBytes) {
    header_size_ = 0;
    fragment_left_ = static_cast<size_t>(header_[3]) << 8 | header_[4];
    // An empty fragment of a handshake is an error too.
    if (fragment_left_ == 0 || fragment_left_ > kMaxFragmentBytes) {
      state_ = State::kMalformed;
    }
  }
  return 1;
}

size_t HelloReader::TakeFragment(std::span<const uint8_t> bytes) {
  const size_t size = std::min({bytes.size(), fragment_left_, MessageSize() - message_.size()});
  message_.insert(message_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size));
  fragment_left_ -= size;
  if (message_.front() != static_cast<uint8_t>(kind_)) {
    state_ = State::kMalformed;
  } else if (MessageSize() > kMaxHandshakeBytes) {
    state_ = State::kIncomplete;
  } else if (message_.size() >= kMessageHeaderBytes && message_.size() == MessageSize()) {
    state_ = State::kRead;
  }
  return size;
}

size_t HelloReader::MessageSize() const {
  if (message_.size() < kMessageHeaderBytes) {
    return kMessageHeaderBytes;
  }
  return kMessageHeaderBytes + (static_cast<size_t>(message_[1]) << 16 |
                                static_cast<size_t>(message_[2]) << 8 | message_[3]);
}

void HelloReader::GiveUp() {
  if (state_ == State::kReading) {
    state_ = State::kIncomplete;
  }
}

std::span<const uint8_t> HelloReader::body() const {
  return std::span(message_).subspan(kMessageHeaderBytes);
}

}  // namespace podtap::tls
