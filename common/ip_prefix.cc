#include "common/ip_prefix.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"

namespace podtap {
namespace {

constexpr int kBits = 128;
constexpr int kMappingBits = 96;

// One to three digits, at most `max`.
std::optional<int> ParseLength(std::string_view text, int max) {
  int length = 0;
  if (text.empty() || text.size() > 3 ||
      !std::all_of(text.begin(), text.end(), absl::ascii_isdigit) ||
      !absl::SimpleAtoi(absl::string_view(text.data(), text.size()), &length) || length > max) {
    return std::nullopt;
  }
  return length;
}

}  // namespace

std::optional<IpPrefix> IpPrefix::Parse(std::string_view text) {
  const size_t slash = std::min(text.find('/'), text.size());
  const std::optional<IpAddress> base = IpAddress::Parse(text.substr(0, slash));
  if (!base) {
    return std::nullopt;
  }
  if (slash == text.size()) {
    return IpPrefix(*base, kBits);
  }
  // The length of a mapped address written as IPv6 counts from the first byte.
  const bool is_dotted = base->is_v4() && text.find(':') == std::string_view::npos;
  const std::optional<int> length =
      ParseLength(text.substr(slash + 1), is_dotted ? kBits - kMappingBits : kBits);
  if (!length) {
    return std::nullopt;
  }
  const int bits = *length + (is_dotted ? kMappingBits : 0);
  if (base->is_v4() && bits < kMappingBits) {
    return std::nullopt;
  }
  return IpPrefix(*base, bits);
}

bool IpPrefix::Contains(const IpAddress& address) const {
  if (address.is_v4() != base_.is_v4()) {
    return false;
  }
  const auto whole = static_cast<size_t>(bits_ / 8);
  const auto& a = address.bytes();
  const auto& b = base_.bytes();
  if (!std::equal(a.begin(), a.begin() + static_cast<std::ptrdiff_t>(whole), b.begin())) {
    return false;
  }
  const int rest = bits_ % 8;
  return rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0;
}

}  // namespace podtap
