// Names under which secrets are kept.
#pragma once

#include <string_view>

namespace podtap {

// Whether values under this name (of a header field, a parameter or a label, any case) must never
// leave the node.
bool SmellsOfSecret(std::string_view name);

}  // namespace podtap
