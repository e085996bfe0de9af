#include "common/option_shape.h"

#include <cstddef>

#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace podtap {

OptionShape ShapeOf(const CLI::Option& option) {
  OptionShape shape;
  if (option.get_items_expected_max() == 0) {
    return shape;
  }
  // The type's name, with the texts of the checks behind it: "TEXT:{compact,json}" or
  // "N:INT in [0 - 100]".
  const std::string text = option.get_type_name();
  const size_t open = text.find(":{");
  const size_t close = text.rfind('}');
  if (open != std::string::npos && close != std::string::npos && close > open) {
    shape.choices = absl::StrSplit(text.substr(open + 2, close - open - 2), ',');
    shape.value_name = absl::StrJoin(shape.choices, "|");
    return shape;
  }
  const size_t range = text.find(" in [");
  shape.value_name = text.substr(0, range == std::string::npos ? range : text.rfind(':', range));
  return shape;
}

}  // namespace podtap
