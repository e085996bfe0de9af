#include "agent/http/start_line.h"

#include <algorithm>
#include <array>

namespace podtap::http {
namespace {

constexpr std::string_view kVersion = "HTTP/1.";

constexpr std::array<bool, 256> MakeTokenTable() {
  std::array<bool, 256> table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[c] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[c] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<uint8_t>(c)] = true;
  return table;
}

constexpr std::array<bool, 256> kTokenTable = MakeTokenTable();

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

}  // namespace

bool IsTokenChar(char c) { return kTokenTable[static_cast<uint8_t>(c)]; }

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](char x, char y) { return Lower(x) == Lower(y); });
}

std::optional<RequestLine> ParseRequestLine(std::string_view line) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == 0 || first > kMaxMethodBytes ||
      last < first + 2) {
    return std::nullopt;
  }
  const std::string_view method = line.substr(0, first);
  const std::string_view version = line.substr(last + 1);
  if (!std::all_of(method.begin(), method.end(), IsTokenChar) ||
      version.size() != kVersion.size() + 1 || !version.starts_with(kVersion) ||
      !IsDigit(version.back())) {
    return std::nullopt;
  }
  return RequestLine{method, line.substr(first + 1, last - first - 1),
                     static_cast<uint8_t>(version.back() - '0')};
}

std::optional<StatusLine> ParseStatusLine(std::string_view line) {
  // "HTTP/1.1 200"
  constexpr size_t kCode = kVersion.size() + 2;
  if (line.size() < kCode + 3 || !line.starts_with(kVersion) || !IsDigit(line[kCode - 2]) ||
      line[kCode - 1] != ' ' || (line.size() > kCode + 3 && line[kCode + 3] != ' ')) {
    return std::nullopt;
  }
  uint16_t code = 0;
  for (const char c : line.substr(kCode, 3)) {
    if (!IsDigit(c)) {
      return std::nullopt;
    }
    code = static_cast<uint16_t>(code * 10 + (c - '0'));
  }
  if (code < 100) {
    return std::nullopt;
  }
  return StatusLine{code, static_cast<uint8_t>(line[kCode - 2] - '0')};
}

bool MayStart(MessageKind kind, std::string_view prefix) {
  if (kind == MessageKind::kResponse) {
    const size_t size = std::min(prefix.size(), kVersion.size());
    return prefix.substr(0, size) == kVersion.substr(0, size);
  }
  for (size_t i = 0; i < prefix.size() && i <= kMaxMethodBytes; ++i) {
    if (!IsTokenChar(prefix[i])) {
      return prefix[i] == ' ' && i > 0;
    }
  }
  return prefix.size() <= kMaxMethodBytes;
}

bool LooksLikeStart(MessageKind kind, std::string_view bytes) {
  if (kind == MessageKind::kResponse) {
    return bytes.size() > kVersion.size() && bytes.starts_with(kVersion) &&
           IsDigit(bytes[kVersion.size()]);
  }
  const size_t space = bytes.substr(0, kMaxMethodBytes + 1).find(' ');
  return space != std::string_view::npos && space + 1 < bytes.size() &&
         static_cast<uint8_t>(bytes[space + 1]) > ' ' && MayStart(kind, bytes);
}

}  // namespace podtap::http
