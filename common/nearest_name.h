// What somebody who misspelled a name has meant.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace podtap {

// The one of `names` that is the fewest typing errors (a character left out, too many, wrong, or
// two swapped) away from `name`; empty when none is near: more than a third of its length.
std::string NearestName(std::string_view name, const std::vector<std::string>& names);

// "; did you mean NEAREST?", or nothing.
std::string DidYouMean(std::string_view name, const std::vector<std::string>& names);

}  // namespace podtap
