// The traceparent header of W3C Trace Context.
#pragma once

#include <optional>
#include <string_view>

namespace podtap::enrichment {

// Views into the header's value.
struct TraceContext {
  // 32 lower-case hex digits, not all zero.
  std::string_view trace_id;
  // 16 lower-case hex digits, not all zero: the caller's span.
  std::string_view span_id;
};

// Reads version 00 (section 3.2); nullopt for anything else.
std::optional<TraceContext> ParseTraceparent(std::string_view value);

}  // namespace podtap::enrichment
