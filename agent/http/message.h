// Values: heads of HTTP/1.x messages (RFC 9112), as read from the wire. Input of pairing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace podtap::http {

// Bit of a set: what reading a message met. Bit N stands for podtap.v1.ExchangeFlag number N.
enum class MessageFlag : uint32_t {
  kGap = 1u << 2,
  kHeadersTruncated = 1u << 3,
  kAmbiguousFraming = 1u << 8,
  kFramingInferred = 1u << 9,
};

constexpr uint32_t Bit(MessageFlag flag) { return static_cast<uint32_t>(flag); }

// One header field. Views into the head's own bytes.
struct HeaderField {
  // As sent; compare without regard to case.
  std::string_view name;
  // Without surrounding whitespace; obsolete line folding (RFC 9112 section 5.2) kept as sent.
  std::string_view value;
};

// Header fields in wire order. Movable, not copyable cheaply: owns the bytes of the head.
class HeaderMap {
 public:
  HeaderMap() = default;
  // Takes the bytes of the whole head; Add() refers into them by offset.
  explicit HeaderMap(std::string raw) : raw_(std::move(raw)) {}

  // The same for bytes that come after their fields.
  void SetRaw(std::string raw) { raw_ = std::move(raw); }
  void Add(uint32_t name_begin, uint32_t name_size, uint32_t value_begin, uint32_t value_size) {
    if (entries_.empty()) {
      entries_.reserve(kUsualFields);
    }
    entries_.push_back({name_begin, name_size, value_begin, value_size});
  }

  size_t size() const { return entries_.size(); }
  HeaderField operator[](size_t index) const {
    const Entry& entry = entries_[index];
    const std::string_view raw = raw_;
    return {raw.substr(entry.name_begin, entry.name_size),
            raw.substr(entry.value_begin, entry.value_size)};
  }
  // Value of the first field named `name` (any case); nullopt without one.
  std::optional<std::string_view> Find(std::string_view name) const;
  // The bytes of the head, as far as they were captured.
  std::string_view raw() const { return raw_; }

 private:
  // Room for the fields of most heads, at one allocation.
  static constexpr size_t kUsualFields = 16;

  struct Entry {
    uint32_t name_begin;
    uint32_t name_size;
    uint32_t value_begin;
    uint32_t value_size;
  };
  std::string raw_;
  std::vector<Entry> entries_;
};

// What a response's framing needs to know of the request it answers.
enum class RequestMethod : uint8_t { kUnknown, kHead, kConnect, kOther };

RequestMethod ClassifyMethod(std::string_view method);

// A request head. Views would dangle on move, so the tokens are strings of their own.
struct RequestHead {
  // Token as sent.
  std::string method;
  // Request target as sent, raw bytes (RFC 9112 section 3.2).
  std::string target;
  // The x of HTTP/1.x: one digit.
  uint8_t minor_version = 1;
  HeaderMap headers;
  // Bytes of the head on the wire, the empty line included, as far as seen.
  uint64_t size = 0;
  // TCP sequence number of its first byte.
  uint32_t seq = 0;
  // First byte, monotonic.
  int64_t start_ns = 0;
};

// A response head.
struct ResponseHead {
  uint16_t status_code = 0;
  uint8_t minor_version = 1;
  HeaderMap headers;
  uint64_t size = 0;
  uint32_t seq = 0;
  int64_t start_ns = 0;
};

// Where a message ended.
struct MessageEnd {
  // Stream position of the head's first byte.
  uint64_t begin_position = 0;
  // Bytes of the head and after it, chunk framing and trailers included.
  uint64_t head_size = 0;
  uint64_t body_size = 0;
  // Last byte seen, monotonic.
  int64_t end_ns = 0;
  // Bits of MessageFlag and reassembly::Mark that the whole message gathered.
  uint32_t flags = 0;
  // The end was read or inferred; false when the stream ended first.
  bool complete = false;
};

}  // namespace podtap::http
