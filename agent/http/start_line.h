// Request lines and status lines (RFC 9112 sections 3 and 4), and the characters of tokens.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace podtap::http {

// Which kind of message a direction carries.
enum class MessageKind : uint8_t { kRequest, kResponse };

// Longest method that is believed. Real ones have up to 17 characters.
inline constexpr size_t kMaxMethodBytes = 64;

// Views into the line.
struct RequestLine {
  std::string_view method;
  std::string_view target;
  uint8_t minor_version = 1;
};

struct StatusLine {
  uint16_t status_code = 0;
  uint8_t minor_version = 1;
};

// tchar of RFC 9110 section 5.6.2.
bool IsTokenChar(char c);

// ASCII case folding, as header names and codings want.
bool EqualsIgnoreCase(std::string_view a, std::string_view b);

// `line` without its line end. Any token is a method. Spaces inside the target, which a client must
// not send, stay in it: servers that accept them exist (section 3.2 lets them).
std::optional<RequestLine> ParseRequestLine(std::string_view line);

// `line` without its line end. The reason, and the space before it, may be missing.
std::optional<StatusLine> ParseStatusLine(std::string_view line);

// Whether a start line can begin with these bytes, of which there is at least one. Cheap: looks at
// the method or "HTTP/1." only.
bool MayStart(MessageKind kind, std::string_view prefix);

// Whether these bytes look enough like a start line to be taken for one where nothing says that a
// message starts: a method, a space and the start of a target; or "HTTP/1." and a digit.
bool LooksLikeStart(MessageKind kind, std::string_view bytes);

}  // namespace podtap::http
