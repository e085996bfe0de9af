// One message head, from its first byte to the empty line (RFC 9112 section 2.1).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "agent/http/framing.h"
#include "agent/http/message.h"
#include "agent/http/start_line.h"

namespace podtap::http {

struct HeadLimits {
  // Bytes and fields that are kept of a head. Longer ones are read on for their framing.
  uint32_t max_bytes = 16 * 1024;
  uint32_t max_headers = 100;
};

// Incremental at any byte; bounded memory. Reset() before each head.
class HeadReader {
 public:
  enum class Result : uint8_t {
    kMore,
    kComplete,
    // The first line is no start line.
    kInvalid,
  };

  HeadReader(MessageKind kind, const HeadLimits& limits) : kind_(kind), limits_(limits) {}

  void Reset();
  // Reads up to the end of `bytes` or of the head; `taken` says how far.
  Result Read(std::string_view bytes, size_t* taken);

  // The first line was read and is a start line.
  bool start_line_valid() const { return start_line_valid_; }
  // The first line, which is no start line, is that of HTTP/2's preface (RFC 9113 section 3.4).
  bool is_http2_preface() const { return !start_line_valid_ && raw_.starts_with(kHttp2Line); }
  // More was sent than kept.
  bool truncated() const { return truncated_; }
  // Of a request, until it is taken.
  std::string_view target() const { return target_; }
  uint16_t status_code() const { return status_.status_code; }
  uint8_t minor_version() const;
  // Of all fields read so far.
  const FramingFields& framing() const { return framing_; }

  // What was read of the head, once start_line_valid(). Size, seq and time are the caller's to set.
  // Reading may go on behind it, for the framing only.
  RequestHead TakeRequest();
  ResponseHead TakeResponse();

 private:
  static constexpr std::string_view kHttp2Line = "PRI * HTTP/2.0\r\n";

  void StartLine(char first);
  void TakePart(std::string_view part);
  // The line ended with `part`.
  Result EndLine(std::string_view part);
  bool CheckStartLine();
  // From here on nothing is kept; lines are looked at for their framing.
  void StopKeeping();
  void AddToLongLine(std::string_view bytes);
  void EndLongLine();
  // Splits what was kept into fields; framing fields are those that begin before `framing_end`.
  void ParseFields(size_t framing_end);
  HeaderMap TakeHeaders();

  MessageKind kind_;
  HeadLimits limits_;
  // The head as far as kept, until headers_ takes it.
  std::string raw_;
  bool keeping_ = true;
  bool start_line_valid_ = false;
  bool truncated_ = false;
  // Of the line being read: bytes so far, and the last one.
  uint64_t line_size_ = 0;
  char last_byte_ = 0;
  // Offset in raw_ of the first line behind the start line, and of the last field, which folding
  // may still continue.
  size_t fields_begin_ = 0;
  size_t last_field_begin_ = 0;
  std::string method_;
  std::string target_;
  uint8_t request_minor_version_ = 1;
  StatusLine status_;
  HeaderMap headers_;
  FramingFields framing_;
  // While not keeping: the first bytes of the field being read, or the last bytes of a start line.
  std::string long_line_;
};

}  // namespace podtap::http
