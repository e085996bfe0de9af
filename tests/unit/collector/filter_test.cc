#include "collector/query/filter.h"

#include <google/protobuf/text_format.h>

#include "gtest/gtest.h"

namespace podtap::query {
namespace {

// FollowEventsRequest holds both lists of filters.
v1::FollowEventsRequest Parse(const std::string& text) {
  v1::FollowEventsRequest request;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request)) << text;
  return request;
}

// shop/web-1 calls pay/api-1: GET /v1/items/42, 404, reported by the client.
store::EventFields Event() {
  return {.reporter = v1::REPORTER_CLIENT,
          .status_code = 404,
          .method = "GET",
          .path = "/v1/items/42",
          .source_namespace = "shop",
          .source_pod = "web-1",
          .destination_namespace = "pay",
          .destination_pod = "api-1"};
}

struct Row {
  const char* filters;
  bool matches;
};

class FilterTable : public testing::TestWithParam<Row> {};

TEST_P(FilterTable, Matches) {
  const v1::FollowEventsRequest request = Parse(GetParam().filters);
  const auto matcher = EventMatcher::Compile(request.include(), request.exclude());
  ASSERT_TRUE(matcher.ok()) << matcher.status();
  EXPECT_EQ(matcher->Matches(Event()), GetParam().matches) << GetParam().filters;
}

INSTANTIATE_TEST_SUITE_P(
    All, FilterTable,
    testing::Values(
        Row{"", true}, Row{"include {}", true}, Row{"exclude {}", false},
        Row{"include { method: 'GET' }", true}, Row{"include { method: 'get' }", false},
        Row{"include { method: ['POST', 'GET'] }", true},
        Row{"include { method: 'GET' status: '500' }", false},
        Row{"include { method: 'POST' } include { status: '404' }", true},
        Row{"include { method: 'GET' } exclude { status: '4xx' }", false},
        Row{"exclude { method: 'GET' status: '200' }", true},
        Row{"exclude { method: 'POST' } exclude { status: '404' }", false},
        Row{"include { status: '404' }", true}, Row{"include { status: '4xx' }", true},
        Row{"include { status: '4XX' }", true}, Row{"include { status: '5xx' }", false},
        Row{"include { status: '400-404' }", true}, Row{"include { status: '405-499' }", false},
        Row{"include { path: '/v1/items/42' }", true}, Row{"include { path: '/v1/items' }", false},
        Row{"include { path: '/v1/*' }", true}, Row{"include { path: '/v2/*' }", false},
        Row{"include { path: '*' }", false}, Row{"include { path: '~items/[0-9]+$' }", true},
        Row{"include { path: '~^items' }", false}, Row{"include { path: '' }", false},
        Row{"include { reporter: REPORTER_CLIENT }", true},
        Row{"include { reporter: REPORTER_SERVER }", false},
        Row{"include { endpoint { namespace: 'shop' } }", true},
        Row{"include { endpoint { namespace: 'pay' } }", true},
        Row{"include { endpoint { namespace: 'x' } }", false},
        Row{"include { source { namespace: 'pay' } }", false},
        Row{"include { destination { namespace: 'pay' } }", true},
        Row{"include { endpoint { pod: 'web-1' } }", true},
        Row{"include { endpoint { pod: 'web' } }", false},
        Row{"include { endpoint { pod: 'web*' } }", true},
        Row{"include { endpoint { pod: '*' } }", true},
        Row{"include { endpoint { pod: 'shop/web-1' } }", true},
        Row{"include { endpoint { pod: 'shop/*' } }", true},
        Row{"include { endpoint { pod: 'pay/web-1' } }", false},
        // Both conditions must hold for the same end.
        Row{"include { endpoint { namespace: 'pay' pod: 'web-1' } }", false},
        Row{"include { source { pod: 'web-1' } destination { pod: 'api-1' } }", true},
        Row{"include { source { pod: 'web-1' } destination { pod: 'api-2' } }", false}));

TEST(EventMatcher, NothingWithoutAResponseHasAStatus) {
  store::EventFields event = Event();
  event.status_code = 0;
  const v1::FollowEventsRequest request = Parse("include { status: ['1xx', '100-999'] }");
  const auto matcher = EventMatcher::Compile(request.include(), request.exclude());
  ASSERT_TRUE(matcher.ok());
  EXPECT_FALSE(matcher->Matches(event));
}

TEST(EventMatcher, AnEndWithoutAPodMatchesNoPodPattern) {
  store::EventFields event = Event();
  event.source_pod = event.destination_pod = "";
  const v1::FollowEventsRequest request = Parse("include { endpoint { pod: '*' } }");
  const auto matcher = EventMatcher::Compile(request.include(), request.exclude());
  ASSERT_TRUE(matcher.ok());
  EXPECT_FALSE(matcher->Matches(event));
}

struct BadRow {
  const char* filters;
  const char* field;
};

class BadFilter : public testing::TestWithParam<BadRow> {};

TEST_P(BadFilter, IsRefusedByItsPath) {
  const v1::FollowEventsRequest request = Parse(GetParam().filters);
  const auto matcher = EventMatcher::Compile(request.include(), request.exclude());
  ASSERT_FALSE(matcher.ok());
  EXPECT_EQ(matcher.status().code(), absl::StatusCode::kInvalidArgument);
  const std::string message(matcher.status().message());
  EXPECT_EQ(message.substr(0, message.find(": ")), GetParam().field) << message;
}

INSTANTIATE_TEST_SUITE_P(
    All, BadFilter,
    testing::Values(BadRow{"include { status: 'abc' }", "include[0].status[0]"},
                    BadRow{"include {} include { status: ['404', '4x'] }", "include[1].status[1]"},
                    BadRow{"exclude { status: '500-400' }", "exclude[0].status[0]"},
                    BadRow{"include { status: '0xx' }", "include[0].status[0]"},
                    BadRow{"include { status: '' }", "include[0].status[0]"},
                    BadRow{"include { status: '4044' }", "include[0].status[0]"},
                    BadRow{"include { path: '~(' }", "include[0].path[0]"},
                    BadRow{"include { reporter: REPORTER_UNSPECIFIED }", "include[0].reporter[0]"},
                    BadRow{"include { source { pod: '' } }", "include[0].source.pod[0]"},
                    BadRow{"include { source { pod: 'a/b/c' } }", "include[0].source.pod[0]"},
                    BadRow{"include { endpoint { pod: 'a/' } }", "include[0].endpoint.pod[0]"}));

TEST(EventMatcher, IsBounded) {
  v1::FollowEventsRequest request;
  for (int i = 0; i < 101; ++i) {
    request.add_include();
  }
  EXPECT_FALSE(EventMatcher::Compile(request.include(), request.exclude()).ok());
  request.Clear();
  v1::EventFilter& filter = *request.add_include();
  for (int i = 0; i < 51; ++i) {
    filter.add_path("~x");
  }
  EXPECT_FALSE(EventMatcher::Compile(request.include(), request.exclude()).ok());
  filter.clear_path();
  filter.add_method(std::string(5000, 'x'));
  EXPECT_FALSE(EventMatcher::Compile(request.include(), request.exclude()).ok());
}

}  // namespace
}  // namespace podtap::query
