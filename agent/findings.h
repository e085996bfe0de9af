// What the doctor says: one line for each thing it looked at.
#pragma once

#include <cstddef>
#include <ostream>
#include <string>
#include <string_view>

#include "absl/strings/str_format.h"
#include "common/text.h"

namespace podtap {

// Writes each finding at once. Not thread-safe.
class Findings {
 public:
  explicit Findings(std::ostream& out) : out_(out) {}

  // As it should be.
  void Ok(std::string_view what, std::string_view text) { Write("ok", what, text); }
  // The agent works, but sees less than it could.
  void Warn(std::string_view what, std::string_view text) { Write("warn", what, text); }
  // The agent would not start, or not do what it is told.
  void Fail(std::string_view what, std::string_view text) {
    failed_ = true;
    Write("fail", what, text);
  }

  bool failed() const { return failed_; }

 private:
  // Beyond that a line is no help.
  static constexpr size_t kMaxText = 1000;

  void Write(std::string_view level, std::string_view what, std::string_view text) {
    out_ << absl::StrFormat("%-4s  %-12s  %s", std::string(level), std::string(what),
                            SafeText(text, kMaxText))
         << std::endl;
  }

  std::ostream& out_;
  bool failed_ = false;
};

}  // namespace podtap
