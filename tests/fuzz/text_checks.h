// What text that leaves must be, said a second time: well-formed by the table of RFC 3629 section 4
// rather than by decoding, and without what could drive a terminal or reorder a line.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

namespace podtap::fuzz {

// Length of the well-formed character at the start; 0 where there is none.
inline size_t CharacterLength(std::string_view text) {
  const auto in = [&](size_t i, uint8_t low, uint8_t high) {
    return i < text.size() && static_cast<uint8_t>(text[i]) >= low &&
           static_cast<uint8_t>(text[i]) <= high;
  };
  const auto tail = [&](size_t from, size_t count) {
    for (size_t i = from; i < from + count; ++i) {
      if (!in(i, 0x80, 0xbf)) {
        return false;
      }
    }
    return true;
  };
  if (in(0, 0x00, 0x7f)) {
    return 1;
  }
  if (in(0, 0xc2, 0xdf) && tail(1, 1)) {
    return 2;
  }
  if ((in(0, 0xe0, 0xe0) && in(1, 0xa0, 0xbf) && tail(2, 1)) || (in(0, 0xe1, 0xec) && tail(1, 2)) ||
      (in(0, 0xed, 0xed) && in(1, 0x80, 0x9f) && tail(2, 1)) || (in(0, 0xee, 0xef) && tail(1, 2))) {
    return 3;
  }
  if ((in(0, 0xf0, 0xf0) && in(1, 0x90, 0xbf) && tail(2, 2)) || (in(0, 0xf1, 0xf3) && tail(1, 3)) ||
      (in(0, 0xf4, 0xf4) && in(1, 0x80, 0x8f) && tail(2, 2))) {
    return 4;
  }
  return 0;
}

inline bool IsControl(std::string_view character) {
  const auto first = static_cast<uint8_t>(character[0]);
  if (character.size() == 1) {
    return first < 0x20 || first == 0x7f;
  }
  // C1; the Arabic letter mark; marks, embeddings, overrides, isolates; line separators; the byte
  // order mark.
  return (first == 0xc2 && static_cast<uint8_t>(character[1]) < 0xa0) || character == "\xd8\x9c" ||
         (character >= "\xe2\x80\x8b" && character <= "\xe2\x80\x8f") ||
         (character >= "\xe2\x80\xa8" && character <= "\xe2\x80\xae") ||
         (character >= "\xe2\x81\xa0" && character <= "\xe2\x81\xaf") ||
         character == "\xef\xbb\xbf";
}

// Valid UTF-8 that prints as it reads.
inline bool IsSafe(std::string_view text) {
  while (!text.empty()) {
    const size_t length = CharacterLength(text);
    if (length == 0 || IsControl(text.substr(0, length))) {
      return false;
    }
    text.remove_prefix(length);
  }
  return true;
}

// What is planted where secrets stand. Its first letter is no hex digit: an escape before the rest
// of it makes no canary.
constexpr std::string_view kCanary = "p1ant3d";

// In any case of its letters. Percent-encoding keeps a canary as it is.
inline bool HasCanary(std::string_view text) {
  const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; };
  return std::search(text.begin(), text.end(), kCanary.begin(), kCanary.end(), same) != text.end();
}

}  // namespace podtap::fuzz
