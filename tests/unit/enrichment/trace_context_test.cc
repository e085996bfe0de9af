#include "agent/enrichment/trace_context.h"

#include <gtest/gtest.h>

#include <string>

namespace podtap::enrichment {
namespace {

constexpr char kTraceId[] = "0af7651916cd43dd8448eb211c80319c";
constexpr char kSpanId[] = "b7ad6b7169203331";

TEST(ParseTraceparent, ReadsBothIds) {
  const std::string value = std::string("00-") + kTraceId + "-" + kSpanId + "-01";
  const auto context = ParseTraceparent(value);
  ASSERT_TRUE(context);
  EXPECT_EQ(context->trace_id, kTraceId);
  EXPECT_EQ(context->span_id, kSpanId);
}

TEST(ParseTraceparent, RefusesAnythingElse) {
  const std::string trace = kTraceId;
  const std::string span = kSpanId;
  const std::string zero_trace(32, '0');
  const std::string zero_span(16, '0');
  for (const std::string& value :
       {std::string(), "00-" + trace + "-" + span, "00-" + trace + "-" + span + "-0",
        "00-" + trace + "-" + span + "-01-x", "01-" + trace + "-" + span + "-01",
        "ff-" + trace + "-" + span + "-01", "00-" + zero_trace + "-" + span + "-01",
        "00-" + trace + "-" + zero_span + "-01", "00-" + trace + "-" + span + "-0g",
        "00_" + trace + "-" + span + "-01", "00-" + trace + "_" + span + "-01",
        "00-" + trace + "-" + span + "_01", "00-0AF7651916CD43DD8448EB211C80319C-" + span + "-01",
        "00-" + trace + "-B7AD6B7169203331-01"}) {
    EXPECT_FALSE(ParseTraceparent(value)) << value;
  }
}

}  // namespace
}  // namespace podtap::enrichment
