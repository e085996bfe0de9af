#include "agent/http/framing.h"

#include <limits>
#include <optional>

#include "agent/http/start_line.h"

namespace podtap::http {
namespace {

constexpr std::string_view kContentLength = "content-length";
constexpr std::string_view kTransferEncoding = "transfer-encoding";

// Also line ends: the value may be folded.
bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

// Calls `take` for each element of a comma-separated list, trimmed, empty ones included.
template <typename Take>
void ForEachElement(std::string_view list, Take take) {
  while (true) {
    const size_t comma = list.find(',');
    take(Trim(list.substr(0, comma)));
    if (comma == std::string_view::npos) {
      return;
    }
    list.remove_prefix(comma + 1);
  }
}

// 1*DIGIT up to 2^63 - 1: no sign, no other base.
std::optional<uint64_t> ParseLength(std::string_view text) {
  if (text.empty()) {
    return std::nullopt;
  }
  uint64_t value = 0;
  constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
  for (const char c : text) {
    if (c < '0' || c > '9') {
      return std::nullopt;
    }
    const auto digit = static_cast<uint64_t>(c - '0');
    if (value > (kMax - digit) / 10) {
      return std::nullopt;
    }
    value = value * 10 + digit;
  }
  return value;
}

}  // namespace

void FramingFields::Add(std::string_view name, std::string_view value) {
  // Nearly all fields leave here.
  if (name.size() < kContentLength.size() ||
      (name[0] != 'C' && name[0] != 'c' && name[0] != 'T' && name[0] != 't')) {
    return;
  }
  const std::string_view trimmed = Trim(name);
  if (EqualsIgnoreCase(trimmed, kContentLength)) {
    AddContentLength(value);
  } else if (EqualsIgnoreCase(trimmed, kTransferEncoding)) {
    AddTransferEncoding(value);
  } else {
    return;
  }
  // Section 5.1: a server must refuse it, a proxy must remove it; some do neither.
  space_before_colon_ = space_before_colon_ || trimmed.size() != name.size();
}

void FramingFields::AddContentLength(std::string_view value) {
  ForEachElement(value, [this](std::string_view element) {
    const std::optional<uint64_t> length = ParseLength(element);
    if (!length || (has_length_ && *length != length_)) {
      length_invalid_ = true;
    } else {
      length_ = *length;
    }
    length_repeated_ = length_repeated_ || has_length_;
    has_length_ = true;
  });
}

void FramingFields::AddTransferEncoding(std::string_view value) {
  ForEachElement(value, [this](std::string_view element) {
    if (element.empty()) {
      // Empty list elements are to be ignored (RFC 9110 section 5.6.1.2).
      coding_odd_ = true;
      return;
    }
    // Chunked comes once, and last; it has no parameters.
    coding_odd_ = coding_odd_ || last_is_chunked_;
    last_is_chunked_ = EqualsIgnoreCase(element, "chunked");
    has_coding_ = true;
  });
}

BodyFraming FramingFields::FromFields(uint8_t minor_version, BodyKind otherwise,
                                      BodyKind not_chunked) const {
  BodyFraming framing;
  framing.ambiguous = space_before_colon_ || coding_odd_;
  if (has_coding_) {
    framing.kind = last_is_chunked_ ? BodyKind::kChunked : not_chunked;
    // Section 6.1: faulty in a HTTP/1.0 message and beside a Content-Length.
    framing.ambiguous = framing.ambiguous || has_length_ || minor_version == 0 ||
                        (!last_is_chunked_ && not_chunked == BodyKind::kUnknown);
  } else if (length_invalid_) {
    framing.kind = BodyKind::kUnknown;
    framing.ambiguous = true;
  } else if (has_length_) {
    framing.kind = length_ > 0 ? BodyKind::kLength : BodyKind::kNone;
    framing.length = length_;
    framing.ambiguous = framing.ambiguous || length_repeated_;
  } else {
    framing.kind = otherwise;
  }
  return framing;
}

BodyFraming FramingFields::ForRequest(uint8_t minor_version) const {
  return FromFields(minor_version, BodyKind::kNone, BodyKind::kUnknown);
}

BodyFraming FramingFields::ForResponse(uint8_t minor_version, uint16_t status_code,
                                       RequestMethod method) const {
  const bool success = status_code >= 200 && status_code < 300;
  const bool bodiless = method == RequestMethod::kHead || status_code < 200 || status_code == 204 ||
                        status_code == 304 || (method == RequestMethod::kConnect && success);
  if (bodiless) {
    return BodyFraming{};
  }
  return FromFields(minor_version, BodyKind::kUntilClose, BodyKind::kUntilClose);
}

}  // namespace podtap::http
