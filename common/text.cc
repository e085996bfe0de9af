#include "common/text.h"

#include <algorithm>
#include <cstring>
#include <optional>

namespace podtap {
namespace {

struct Decoded {
  uint32_t code_point;
  size_t length;
};

// The character at the start of `bytes`, or nullopt where no valid one starts (RFC 3629 section 4).
std::optional<Decoded> DecodeUtf8(std::string_view bytes) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) {
    return Decoded{first, 1};
  }
  size_t length = 0;
  uint32_t code_point = 0;
  uint32_t smallest = 0;
  if ((first & 0xe0) == 0xc0) {
    length = 2, code_point = first & 0x1f, smallest = 0x80;
  } else if ((first & 0xf0) == 0xe0) {
    length = 3, code_point = first & 0x0f, smallest = 0x800;
  } else if ((first & 0xf8) == 0xf0) {
    length = 4, code_point = first & 0x07, smallest = 0x10000;
  }
  if (length == 0 || bytes.size() < length) {
    return std::nullopt;
  }
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) {
      return std::nullopt;
    }
    code_point = code_point << 6 | (byte(i) & 0x3f);
  }
  const bool surrogate = code_point >= 0xd800 && code_point <= 0xdfff;
  if (code_point < smallest || code_point > 0x10ffff || surrogate) {
    return std::nullopt;
  }
  return Decoded{code_point, length};
}

bool IsUnsafe(uint32_t code_point) {
  return code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0) || code_point == 0x061c ||
         (code_point >= 0x200b && code_point <= 0x200f) ||
         (code_point >= 0x2028 && code_point <= 0x202e) ||
         (code_point >= 0x2060 && code_point <= 0x206f) || code_point == 0xfeff ||
         (code_point >= 0xfff0 && code_point <= 0xfffb);
}

// Length of the run of printable ASCII from `first_plain` on at the start of `bytes`: the usual
// text, taken at a stroke.
size_t PlainRun(std::string_view bytes, char first_plain) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  constexpr uint64_t kHighBits = 0x80 * kOnes;
  size_t length = 0;
  for (; length + 8 <= bytes.size(); length += 8) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + length, 8);
    // A high bit comes up where a byte is below first_plain, above '~', or not ASCII.
    const uint64_t below = word - static_cast<uint8_t>(first_plain) * kOnes;
    if (((word | below | (word + kOnes)) & kHighBits) != 0) {
      break;
    }
  }
  while (length < bytes.size() && bytes[length] >= first_plain && bytes[length] <= '~') {
    ++length;
  }
  return length;
}

// Takes the front of an escape off the end of `out`, where a cut went through one; no further back
// than `begin`.
void DropPartialEscape(std::string& out, size_t begin) {
  for (size_t back = 1; back <= 2 && out.size() >= begin + back; ++back) {
    if (out[out.size() - back] == '%') {
      out.resize(out.size() - back);
      return;
    }
  }
}

bool Escape(std::string& out, std::string_view bytes, size_t max_bytes, bool escape_space) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  const char first_plain = escape_space ? '!' : ' ';
  const size_t begin = out.size();
  while (!bytes.empty()) {
    const size_t room = max_bytes - (out.size() - begin);
    if (const size_t run = PlainRun(bytes, first_plain); run > 0) {
      out.append(bytes.substr(0, std::min(run, room)));
      if (run > room) {
        DropPartialEscape(out, begin);
        return false;
      }
      bytes.remove_prefix(run);
      continue;
    }
    const std::optional<Decoded> decoded = DecodeUtf8(bytes);
    const size_t length = decoded ? decoded->length : 1;
    const bool keep =
        decoded && !IsUnsafe(decoded->code_point) && !(escape_space && decoded->code_point == ' ');
    if ((keep ? length : 3 * length) > room) {
      return false;
    }
    if (keep) {
      out.append(bytes.substr(0, length));
    } else {
      for (size_t i = 0; i < length; ++i) {
        const auto byte = static_cast<uint8_t>(bytes[i]);
        out += '%';
        out += kHex[byte >> 4];
        out += kHex[byte & 0xf];
      }
    }
    bytes.remove_prefix(length);
  }
  return true;
}

}  // namespace

std::string SafeText(std::string_view bytes, size_t max_bytes) {
  std::string out;
  Escape(out, bytes, max_bytes, false);
  return out;
}

std::string SafeTarget(std::string_view bytes, size_t max_bytes) {
  std::string out;
  Escape(out, bytes, max_bytes, true);
  return out;
}

bool AppendSafeText(std::string& out, std::string_view bytes, size_t max_bytes) {
  return Escape(out, bytes, max_bytes, false);
}

bool AppendSafeTarget(std::string& out, std::string_view bytes, size_t max_bytes) {
  return Escape(out, bytes, max_bytes, true);
}

}  // namespace podtap
