// A range of IP addresses in CIDR form.
#pragma once

#include <optional>
#include <string_view>

#include "common/ip_address.h"

namespace podtap {

// A plain value.
class IpPrefix {
 public:
  // "10.0.0.1" (that address alone), "10.0.0.0/8", "fd00::1" or "fd00::/8"; nullopt for anything
  // else. Bits behind the length may be set and count for nothing.
  static std::optional<IpPrefix> Parse(std::string_view text);

  // An IPv4 range holds IPv4 addresses only, and an IPv6 range IPv6 addresses only.
  bool Contains(const IpAddress& address) const;

 private:
  IpPrefix(const IpAddress& base, int bits) : base_(base), bits_(bits) {}

  IpAddress base_;
  // Of the 16 bytes: those of IPv4 count from the mapping prefix on.
  int bits_ = 0;
};

}  // namespace podtap
