// Including this makes a test program one that needs root: without it every test is skipped, or
// fails when CI=true, where a skip would hide that nothing was tested.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace podtap::testing {

class NeedsRoot : public ::testing::Environment {
 public:
  void SetUp() override {
    const char* ci = std::getenv("CI");
    if (::geteuid() != 0 && (ci == nullptr || std::string_view(ci) != "true")) {
      GTEST_SKIP() << "needs root";
    }
  }
};

// The framework takes ownership.
inline ::testing::Environment* const kNeedsRoot =
    ::testing::AddGlobalTestEnvironment(new NeedsRoot);

}  // namespace podtap::testing
