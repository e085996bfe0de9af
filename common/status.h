// Macros and helpers for absl::Status, the error type for what fails because of the outside: OS,
// configuration, network, peers. Odd packets are not errors (enum + counter); a broken invariant of
// our own is PODTAP_CHECK.
#pragma once

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_format.h"

// Returns from the enclosing function when `expr` is not OK.
#define PODTAP_RETURN_IF_ERROR(expr)                                \
  do {                                                              \
    if (absl::Status podtap_status = (expr); !podtap_status.ok()) { \
      return podtap_status;                                         \
    }                                                               \
  } while (false)

#define PODTAP_CONCAT_INNER(a, b) a##b
#define PODTAP_CONCAT(a, b) PODTAP_CONCAT_INNER(a, b)

// Declares or assigns `lhs` from a StatusOr, or returns its error.
#define PODTAP_ASSIGN_OR_RETURN(lhs, expr) \
  PODTAP_ASSIGN_OR_RETURN_IMPL(PODTAP_CONCAT(podtap_statusor_, __LINE__), lhs, expr)
#define PODTAP_ASSIGN_OR_RETURN_IMPL(tmp, lhs, expr) \
  auto tmp = (expr);                                 \
  if (!tmp.ok()) {                                   \
    return tmp.status();                             \
  }                                                  \
  lhs = std::move(tmp).value()

// Ends the process when our own invariant is broken. Never for bytes from the network.
#define PODTAP_CHECK(condition)                                                          \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      std::fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                                      \
    }                                                                                    \
  } while (false)

namespace podtap {

// Status of `errno_value`, message "what: strerror". ENOENT and ENODEV become kNotFound, EPERM and
// EACCES kPermissionDenied.
template <typename... Args>
absl::Status ErrnoStatus(int errno_value, const absl::FormatSpec<Args...>& format,
                         const Args&... args) {
  return absl::ErrnoToStatus(errno_value, absl::StrFormat(format, args...));
}

}  // namespace podtap
