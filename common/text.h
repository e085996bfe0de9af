// Making bytes from the wire safe to carry in protobuf, JSON, logs and terminals.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace podtap {

// `bytes` with everything that is not a printable character of valid UTF-8 written as %XX: control
// characters (C0, DEL, C1), invalid and overlong sequences, surrogates, and the invisible
// characters that reorder text (bidirectional controls, U+2028, U+2029). The result is always valid
// UTF-8. `max_bytes` bounds the result; a cut never splits a character or an escape.
std::string SafeText(std::string_view bytes, size_t max_bytes = SIZE_MAX);

// SafeText for a request target: also escapes the space and keeps what is escaped already.
std::string SafeTarget(std::string_view bytes, size_t max_bytes = SIZE_MAX);

// The same, appended to `out`, with `max_bytes` for what is appended. False when that cut it.
bool AppendSafeText(std::string& out, std::string_view bytes, size_t max_bytes = SIZE_MAX);
bool AppendSafeTarget(std::string& out, std::string_view bytes, size_t max_bytes = SIZE_MAX);

}  // namespace podtap
