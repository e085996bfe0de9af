#include "collector/query/token.h"

#include <initializer_list>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace podtap::query {
namespace {

constexpr char kPageKind = 'p';
constexpr char kCursorKind = 'c';
constexpr char kPodKind = 'n';
// Of the names in a token.
constexpr size_t kMaxPodTokenBytes = 4096;

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

uint64_t ReadNumber(std::string_view bytes) {
  uint64_t number = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    number |= uint64_t{static_cast<uint8_t>(bytes[i])} << (8 * i);
  }
  return number;
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
    numbers[i] = ReadNumber(std::string_view(bytes).substr(1 + 8 * i, 8));
  }
  if (numbers.back() != Fnv1a(std::string_view(bytes).substr(0, size - 8))) {
    return std::nullopt;
  }
  return numbers;
}

template <typename Request>
uint64_t FingerprintOf(const Request& request) {
  Request fixed = request;
  fixed.clear_page_size();
  fixed.clear_page_token();
  return Fnv1a(fixed.SerializeAsString());
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

std::string EncodePodToken(const PodToken& token) {
  std::string bytes(1, kPodKind);
  Append(bytes, token.fingerprint);
  // No name has a control character in it.
  bytes +=
      absl::StrJoin({token.node, token.name_space, token.pod, token.uid}, std::string(1, '\0'));
  Append(bytes, Fnv1a(bytes));
  return absl::WebSafeBase64Escape(bytes);
}

std::optional<PodToken> DecodePodToken(std::string_view text) {
  std::string bytes;
  if (text.size() > kMaxPodTokenBytes ||
      !absl::WebSafeBase64Unescape(absl::string_view(text.data(), text.size()), &bytes) ||
      bytes.size() < 17 || bytes[0] != kPodKind) {
    return std::nullopt;
  }
  const std::string_view whole = bytes;
  if (ReadNumber(whole.substr(whole.size() - 8)) != Fnv1a(whole.substr(0, whole.size() - 8))) {
    return std::nullopt;
  }
  const std::string names(whole.substr(9, whole.size() - 17));
  std::vector<std::string> parts = absl::StrSplit(names, '\0');
  if (parts.size() != 4) {
    return std::nullopt;
  }
  return PodToken{.fingerprint = ReadNumber(whole.substr(1, 8)),
                  .node = std::move(parts[0]),
                  .name_space = std::move(parts[1]),
                  .pod = std::move(parts[2]),
                  .uid = std::move(parts[3])};
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

uint64_t Fingerprint(const v1::ListEventsRequest& request) { return FingerprintOf(request); }
uint64_t Fingerprint(const v1::GetCoverageRequest& request) { return FingerprintOf(request); }

}  // namespace podtap::query
