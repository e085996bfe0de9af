#include "collector/query/token.h"

#include <initializer_list>
#include <vector>

#include "absl/strings/escaping.h"

namespace podtap::query {
namespace {

constexpr char kPageKind = 'p';
constexpr char kCursorKind = 'c';

uint64_t Fnv1a(std::string_view bytes) {
  uint64_t hash = 14695981039346656037u;
  for (const char byte : bytes) {
    hash = (hash ^ static_cast<uint8_t>(byte)) * 1099511628211u;
  }
  return hash;
}

void Append(std::string& out, uint64_t value) {
  for (int shift = 0; shift < 64; shift += 8) {
    out += static_cast<char>(value >> shift & 0xff);
  }
}

// The kind, the numbers and a check sum, so that a damaged token is not taken for another place.
std::string Encode(char kind, std::initializer_list<uint64_t> numbers) {
  std::string bytes(1, kind);
  for (const uint64_t number : numbers) {
    Append(bytes, number);
  }
  Append(bytes, Fnv1a(bytes));
  return absl::WebSafeBase64Escape(bytes);
}

std::optional<std::vector<uint64_t>> Decode(char kind, size_t count, std::string_view text) {
  std::string bytes;
  const size_t size = 1 + 8 * (count + 1);
  if (text.size() > 2 * size ||
      !absl::WebSafeBase64Unescape(absl::string_view(text.data(), text.size()), &bytes) ||
      bytes.size() != size || bytes[0] != kind) {
    return std::nullopt;
  }
  std::vector<uint64_t> numbers(count + 1);
  for (size_t i = 0; i < numbers.size(); ++i) {
    for (size_t byte = 0; byte < 8; ++byte) {
      numbers[i] |= uint64_t{static_cast<uint8_t>(bytes[1 + 8 * i + byte])} << (8 * byte);
    }
  }
  if (numbers.back() != Fnv1a(std::string_view(bytes).substr(0, size - 8))) {
    return std::nullopt;
  }
  return numbers;
}

}  // namespace

std::string EncodePageToken(const PageToken& token) {
  return Encode(kPageKind,
                {token.store_id, token.fingerprint, static_cast<uint64_t>(token.position.start_ns),
                 token.position.row, token.last_row});
}

std::optional<PageToken> DecodePageToken(std::string_view text) {
  const std::optional<std::vector<uint64_t>> numbers = Decode(kPageKind, 5, text);
  if (!numbers) {
    return std::nullopt;
  }
  return PageToken{.store_id = (*numbers)[0],
                   .fingerprint = (*numbers)[1],
                   .position = {static_cast<int64_t>((*numbers)[2]), (*numbers)[3]},
                   .last_row = (*numbers)[4]};
}

std::string EncodeCursor(const Cursor& cursor) {
  return Encode(kCursorKind, {cursor.store_id, cursor.row});
}

std::optional<Cursor> DecodeCursor(std::string_view text) {
  const std::optional<std::vector<uint64_t>> numbers = Decode(kCursorKind, 2, text);
  if (!numbers) {
    return std::nullopt;
  }
  return Cursor{.store_id = (*numbers)[0], .row = (*numbers)[1]};
}

uint64_t Fingerprint(const v1::ListEventsRequest& request) {
  v1::ListEventsRequest fixed = request;
  fixed.clear_page_size();
  fixed.clear_page_token();
  return Fnv1a(fixed.SerializeAsString());
}

}  // namespace podtap::query
