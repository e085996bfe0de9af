#include "common/event_text.h"

#include <cstdlib>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podtap {
namespace {

v1::HttpEvent Event() {
  v1::HttpEvent event;
  event.set_id("node-a/00000000000000ff/9");
  event.set_reporter(v1::REPORTER_CLIENT);
  event.mutable_start_time()->set_seconds(1'893'499'201);
  event.mutable_start_time()->set_nanos(123'456'789);
  event.mutable_duration()->set_nanos(12'345'678);
  event.mutable_source()->set_namespace_("shop");
  event.mutable_source()->set_pod_name("web-7f");
  event.mutable_source()->set_ip("10.0.0.1");
  event.mutable_destination()->set_namespace_("shop");
  event.mutable_destination()->set_pod_name("api-5c");
  event.mutable_destination()->set_port(8080);
  event.mutable_request()->set_method("GET");
  event.mutable_request()->set_path("/v1/items/42");
  event.mutable_response()->set_status_code(200);
  event.mutable_response()->set_body_size(1234);
  event.set_outcome(v1::OUTCOME_COMPLETE);
  return event;
}

class CompactLineTest : public testing::Test {
 protected:
  CompactLineTest() { ::setenv("TZ", "UTC", 1); }
};

TEST_F(CompactLineTest, SaysEverythingInColumns) {
  EXPECT_EQ(
      CompactLine(Event(), false),
      "12:00:01.123 shop/web-7f -> shop/api-5c:8080 GET /v1/items/42 200 12.3ms 1.2kB client");
}

TEST_F(CompactLineTest, AddsOutcomeAndFlags) {
  v1::HttpEvent event = Event();
  event.clear_response();
  event.set_reporter(v1::REPORTER_SERVER);
  event.set_outcome(v1::OUTCOME_CONNECTION_RESET);
  event.add_flags(v1::EXCHANGE_FLAG_GAP);
  event.add_flags(v1::EXCHANGE_FLAG_MIDSTREAM);
  EXPECT_THAT(CompactLine(event, false),
              testing::EndsWith(" - 12.3ms - server connection_reset [gap midstream]"));
}

TEST_F(CompactLineTest, NamesWhatIsNoPodByItsAddress) {
  v1::HttpEvent event = Event();
  event.mutable_source()->Clear();
  event.mutable_source()->set_ip("10.0.0.9");
  event.mutable_destination()->Clear();
  event.mutable_destination()->set_ip("fd00::1");
  event.mutable_destination()->set_port(80);
  event.mutable_request()->set_query("q=*");
  EXPECT_THAT(CompactLine(event, false),
              testing::HasSubstr(" 10.0.0.9 -> [fd00::1]:80 GET /v1/items/42?q=* "));
}

TEST_F(CompactLineTest, ShowsTheAuthorityOfConnect) {
  v1::HttpEvent event = Event();
  event.mutable_request()->set_method("CONNECT");
  event.mutable_request()->clear_path();
  event.mutable_request()->set_host("db:5432");
  EXPECT_THAT(CompactLine(event, false), testing::HasSubstr(" CONNECT db:5432 200 "));
}

TEST_F(CompactLineTest, ScalesDurationsAndSizes) {
  v1::HttpEvent event = Event();
  event.mutable_duration()->set_nanos(7'400);
  event.mutable_response()->set_body_size(999);
  EXPECT_THAT(CompactLine(event, false), testing::HasSubstr(" 7us 999B "));
  event.mutable_duration()->set_seconds(12);
  event.mutable_response()->set_body_size(2'500'000);
  EXPECT_THAT(CompactLine(event, false), testing::HasSubstr(" 12.00s 2.5MB "));
}

TEST_F(CompactLineTest, LetsNothingDriveTheTerminal) {
  v1::HttpEvent event = Event();
  event.mutable_request()->set_method("G\x1b[31mET");
  event.mutable_request()->set_path("/a b\n12:00:02.000 forged\r\x9b");
  event.mutable_request()->set_query("\xe2\x80\xae");
  event.mutable_source()->set_pod_name("web\x07 -> evil");
  event.mutable_destination()->set_namespace_("\x1b]0;title");
  const std::string line = CompactLine(event, false);
  for (const char byte : line) {
    EXPECT_TRUE(byte >= 0x20 && byte < 0x7f) << line;
  }
  EXPECT_THAT(line, testing::HasSubstr("/a%20b%0A12:00:02.000%20forged%0D%9B"));
  // Ten columns and one arrow, whatever the event says.
  EXPECT_EQ(std::count(line.begin(), line.end(), ' '), 9);
}

TEST_F(CompactLineTest, ColoursOnRequestOnly) {
  EXPECT_THAT(CompactLine(Event(), false), testing::Not(testing::HasSubstr("\x1b")));
  EXPECT_THAT(CompactLine(Event(), true), testing::HasSubstr("\x1b[32m200\x1b[0m"));
}

TEST_F(CompactLineTest, ShowsUnknownEnumValuesAsNumbers) {
  v1::HttpEvent event = Event();
  event.set_outcome(static_cast<v1::Outcome>(77));
  event.add_flags(static_cast<v1::ExchangeFlag>(31));
  EXPECT_THAT(CompactLine(event, false), testing::EndsWith(" 77 [31]"));
}

TEST(JsonLine, IsProto3JsonOnOneLine) {
  v1::HttpEvent event = Event();
  event.mutable_request()->set_user_agent("a\nb\x1b\xc2\x9b\"");
  const std::string line = JsonLine(event);
  EXPECT_THAT(line, testing::StartsWith("{\"id\":\"node-a/00000000000000ff/9\""));
  EXPECT_THAT(line, testing::HasSubstr("\"startTime\":\"2030-01-01T12:00:01.123456789Z\""));
  EXPECT_THAT(line, testing::HasSubstr("\"duration\":\"0.012345678s\""));
  EXPECT_THAT(line, testing::HasSubstr("\"bodySize\":\"1234\""));
  EXPECT_THAT(line, testing::HasSubstr("\"reporter\":\"REPORTER_CLIENT\""));
  EXPECT_THAT(line, testing::HasSubstr("a\\nb\\u001b\\u009b\\\""));
  EXPECT_EQ(line.find('\n'), std::string::npos);
}

}  // namespace
}  // namespace podtap
