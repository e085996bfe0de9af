#include "common/nearest_name.h"

#include <algorithm>
#include <array>
#include <cstddef>

namespace podtap {
namespace {

// Longer ones are not compared: nobody's flag is, and the work is the product of the lengths.
constexpr size_t kMaxLength = 64;

// The number of typing errors between two names (optimal string alignment).
size_t Distance(std::string_view a, std::string_view b) {
  std::array<std::array<size_t, kMaxLength + 1>, kMaxLength + 1> cost{};
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        cost[i][j] = i + j;
        continue;
      }
      const size_t wrong = a[i - 1] == b[j - 1] ? 0 : 1;
      cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, cost[i - 1][j - 1] + wrong});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
      }
    }
  }
  return cost[a.size()][b.size()];
}

}  // namespace

std::string NearestName(std::string_view name, const std::vector<std::string>& names) {
  std::string nearest;
  size_t least = name.size() / 3 + 1;
  for (const std::string& candidate : names) {
    if (name.size() > kMaxLength || candidate.size() > kMaxLength) {
      continue;
    }
    const size_t distance = Distance(name, candidate);
    if (distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string DidYouMean(std::string_view name, const std::vector<std::string>& names) {
  const std::string nearest = NearestName(name, names);
  return nearest.empty() ? nearest : "; did you mean " + nearest + "?";
}

}  // namespace podtap
