#include "common/units.h"

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "common/text.h"

namespace podtap {
namespace {

struct Unit {
  std::string_view name;
  uint64_t factor;
};

// A positive number of one of `units`, at most `max`.
std::optional<uint64_t> Parse(std::string_view text, std::initializer_list<Unit> units,
                              uint64_t max) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  uint64_t number = 0;
  if (!absl::SimpleAtoi(absl::string_view(text.data(), digits), &number) || number == 0) {
    return std::nullopt;
  }
  for (const Unit& unit : units) {
    if (text.substr(digits) == unit.name) {
      return number <= max / unit.factor ? std::optional(number * unit.factor) : std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace

absl::StatusOr<int64_t> ParseDurationNs(const std::string& flag, const std::string& text) {
  constexpr uint64_t kSecond = 1'000'000'000;
  // A hundred years: adding one to the time of day can't overflow.
  constexpr uint64_t kMax = kSecond * 3600 * 24 * 36'500;
  const std::optional<uint64_t> ns = Parse(
      text, {{"s", kSecond}, {"m", 60 * kSecond}, {"h", 3600 * kSecond}, {"d", 86'400 * kSecond}},
      kMax);
  if (!ns) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: \"%s\" is not a duration like 90s, 5m, 24h or 7d", flag, SafeText(text, 100)));
  }
  return static_cast<int64_t>(*ns);
}

absl::StatusOr<uint64_t> ParseSizeBytes(const std::string& flag, const std::string& text) {
  const std::optional<uint64_t> bytes = Parse(
      text,
      {{"", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", uint64_t{1} << 40}},
      uint64_t{1} << 62);
  if (!bytes) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "%s: \"%s\" is not a size like 1048576, 512MiB or 8GiB", flag, SafeText(text, 100)));
  }
  return *bytes;
}

}  // namespace podtap
