// An environment variable for the time of a test.
#pragma once

#include <cstdlib>
#include <string>

namespace podtap {

// Sets `name`, which is taken to be unset before, and unsets it at the end. Not for tests with
// threads.
class ScopedVariable {
 public:
  ScopedVariable(std::string name, const std::string& value) : name_(std::move(name)) {
    ::setenv(name_.c_str(), value.c_str(), 1);
  }
  ~ScopedVariable() { ::unsetenv(name_.c_str()); }
  ScopedVariable(const ScopedVariable&) = delete;
  ScopedVariable& operator=(const ScopedVariable&) = delete;

 private:
  std::string name_;
};

}  // namespace podtap
