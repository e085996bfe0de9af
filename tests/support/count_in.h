// How often a text occurs in another.
#pragma once

#include <cstddef>
#include <string>

namespace podtap::testing {

// Occurrences may overlap.
inline size_t CountIn(const std::string& all, const std::string& text) {
  size_t count = 0;
  for (size_t at = all.find(text); at != std::string::npos; at = all.find(text, at + 1)) {
    ++count;
  }
  return count;
}

}  // namespace podtap::testing
