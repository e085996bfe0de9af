// One IP address: 16 bytes, IPv4 as v4-mapped IPv6 (RFC 4291 section 2.5.5.2).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace podtap {

// A plain value, usable as a key of absl containers.
class IpAddress {
 public:
  // The unspecified address, "::".
  IpAddress() = default;
  explicit IpAddress(std::span<const uint8_t, 16> bytes);

  // "10.0.0.1" or "fd00::1"; nullopt for anything else.
  static std::optional<IpAddress> Parse(std::string_view text);

  // IPv4 in dotted form, IPv6 as RFC 5952 asks.
  std::string ToString() const;
  bool is_v4() const;
  // In 127.0.0.0/8, or ::1.
  bool is_loopback() const;
  const std::array<uint8_t, 16>& bytes() const { return bytes_; }

  friend bool operator==(const IpAddress&, const IpAddress&) = default;
  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;
  template <typename H>
  friend H AbslHashValue(H state, const IpAddress& address) {
    return H::combine_contiguous(std::move(state), address.bytes_.data(), address.bytes_.size());
  }

 private:
  std::array<uint8_t, 16> bytes_{};
};

}  // namespace podtap
