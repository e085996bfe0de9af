// Hellos made piece by piece, also wrong ones.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace podtap::testing {

inline std::string FromHex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

// A big-endian number of so many bytes.
inline std::string Number(size_t size, uint64_t number) {
  std::string bytes;
  for (size_t i = size; i-- > 0;) {
    bytes += static_cast<char>(number >> (8 * i));
  }
  return bytes;
}

// A vector with its length before it.
inline std::string Vector(size_t length_size, std::string_view content) {
  return Number(length_size, content.size()) + std::string(content);
}

inline std::string Extension(uint16_t type, std::string_view content) {
  return Number(2, type) + Vector(2, content);
}

inline std::string ServerName(std::string_view name) {
  return Extension(0, Vector(2, Number(1, 0) + Vector(2, name)));
}

inline std::string Protocols(std::initializer_list<std::string_view> protocols) {
  std::string list;
  for (const std::string_view protocol : protocols) {
    list += Vector(1, protocol);
  }
  return Extension(16, Vector(2, list));
}

// Bodies of hellos. `tail`: what follows the compression method(s), usually extensions.
inline std::string ClientHelloBody(std::string_view tail) {
  return Number(2, 0x0303) + std::string(32, 'r') + Vector(1, "session") +
         Vector(2, Number(2, 0x0a0a) + Number(2, 0x1301)) + Vector(1, Number(1, 0)) +
         std::string(tail);
}
inline std::string ServerHelloBody(uint16_t version, std::string_view tail) {
  return Number(2, version) + std::string(32, 'r') + Vector(1, "session") + Number(2, 0x1301) +
         Number(1, 0) + std::string(tail);
}

inline std::string Message(uint8_t type, std::string_view body) {
  return Number(1, type) + Vector(3, body);
}
inline std::string Record(std::string_view fragment) {
  return Number(1, 22) + Number(2, 0x0301) + Vector(2, fragment);
}
// The message in records of at most `size` bytes each.
inline std::string Records(std::string_view message, size_t size) {
  std::string records;
  for (size_t at = 0; at < message.size(); at += size) {
    records += Record(message.substr(at, size));
  }
  return records;
}

}  // namespace podtap::testing
