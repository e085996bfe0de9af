// How long a message's body is (RFC 9112 section 6.3).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/http/message.h"

namespace podtap::http {

enum class BodyKind : uint8_t {
  kNone,
  // Content-Length.
  kLength,
  kChunked,
  // Until the connection ends.
  kUntilClose,
  // The headers leave it open: invalid ones, or a request whose last coding is not chunked.
  kUnknown,
};

struct BodyFraming {
  BodyKind kind = BodyKind::kNone;
  // With kLength.
  uint64_t length = 0;
  // The headers contradict each other or are malformed; `kind` is what section 6.3 makes of them.
  bool ambiguous = false;
};

// Gathers the framing fields of one head. Bounded memory.
class FramingFields {
 public:
  // Looks at one field; `name` and `value` as sent, whitespace included.
  void Add(std::string_view name, std::string_view value);

  BodyFraming ForRequest(uint8_t minor_version) const;
  BodyFraming ForResponse(uint8_t minor_version, uint16_t status_code, RequestMethod method) const;

 private:
  void AddContentLength(std::string_view value);
  void AddTransferEncoding(std::string_view value);
  // Section 6.3 rules 4 to 6 and 8. `otherwise` is what a message without framing fields gets,
  // `not_chunked` one whose last coding is not chunked.
  BodyFraming FromFields(uint8_t minor_version, BodyKind otherwise, BodyKind not_chunked) const;

  bool has_length_ = false;
  bool length_invalid_ = false;
  bool length_repeated_ = false;
  uint64_t length_ = 0;
  bool has_coding_ = false;
  bool last_is_chunked_ = false;
  bool coding_odd_ = false;
  bool space_before_colon_ = false;
};

}  // namespace podtap::http
