#include "agent/enrichment/trace_context.h"

#include <algorithm>

namespace podtap::enrichment {
namespace {

bool IsLowerHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

bool IsId(std::string_view text) {
  return IsLowerHex(text) && text.find_first_not_of('0') != std::string_view::npos;
}

}  // namespace

std::optional<TraceContext> ParseTraceparent(std::string_view value) {
  // "00-" trace id "-" span id "-" flags.
  constexpr size_t kSize = 55;
  if (value.size() != kSize || !value.starts_with("00-") || value[35] != '-' || value[52] != '-') {
    return std::nullopt;
  }
  const TraceContext context{.trace_id = value.substr(3, 32), .span_id = value.substr(36, 16)};
  if (!IsId(context.trace_id) || !IsId(context.span_id) || !IsLowerHex(value.substr(53))) {
    return std::nullopt;
  }
  return context;
}

}  // namespace podtap::enrichment
