// Takes a fuzzer's bytes apart. Behind their end everything is zero or empty, so that any bytes are
// a whole input.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace podtap::fuzz {

// In inputs that are text with something in between: behind this byte stands what comes next. Text
// can grow and shrink then without moving anything else.
constexpr uint8_t kMark = 0xfe;

// Borrows the bytes.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(data, size) {}

  bool empty() const { return rest_.empty(); }
  uint8_t Byte() {
    const std::span<const uint8_t> taken = Bytes(1);
    return taken.empty() ? 0 : taken[0];
  }
  // Two and four bytes, little endian.
  uint16_t Short() {
    const uint8_t low = Byte();
    return static_cast<uint16_t>(low | Byte() << 8);
  }
  uint32_t Long() {
    const uint32_t low = Short();
    return low | static_cast<uint32_t>(Short()) << 16;
  }
  // At most so many.
  std::span<const uint8_t> Bytes(size_t size) {
    const std::span<const uint8_t> taken = rest_.first(std::min(size, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  // Up to the next kMark, which is passed over, or to the end.
  std::string_view Text() {
    const auto end = std::find(rest_.begin(), rest_.end(), kMark);
    const std::span<const uint8_t> taken = Bytes(static_cast<size_t>(end - rest_.begin()));
    Bytes(1);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }

 private:
  std::span<const uint8_t> rest_;
};

}  // namespace podtap::fuzz
