#include "collector/query/filter.h"

#include <google/protobuf/text_format.h>

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace podtap::query {
namespace {

// FollowEventsRequest holds both lists of filters.
v1::FollowEventsRequest Parse(const std::string& text) {
  v1::FollowEventsRequest request;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &request)) << text;
  return request;
}

// shop/web-1 on node-a calls pay/api-1: GET /v1/items/42, 404, reported by the client.
class TestEvent : public store::EventView {
 public:
  TestEvent() {
    source_.set_namespace_("shop");
    source_.set_pod_name("web-1");
    source_.set_ip("10.1.2.3");
    source_.mutable_workload()->set_kind("Deployment");
    source_.mutable_workload()->set_name("web");
    source_.set_service_name("storefront");
    (*source_.mutable_labels())["app"] = "web";
    (*source_.mutable_labels())["app.kubernetes.io/part-of"] = "shop-eu";
    (*source_.mutable_labels())["canary"] = "";
    destination_.set_namespace_("pay");
    destination_.set_pod_name("api-1");
    destination_.set_ip("fd00:1::80");
    details_.set_source_port(40'000);
    details_.set_destination_port(8080);
    details_.set_end_ns(250'000'000);
    details_.set_outcome(v1::OUTCOME_COMPLETE);
    details_.set_host_string(Id("API.pay.example:8080"));
    details_.set_trace_id_string(Id("0af7651916cd43dd8448eb211c80319c"));
    for (const char* text : {"user-agent", "curl/8.1", "accept", "*/*"}) {
      details_.add_request_header_strings(Id(text));
    }
    for (const char* text : {"content-type", "text/plain"}) {
      details_.add_response_header_strings(Id(text));
    }
  }

  v1::Reporter reporter() override { return v1::REPORTER_CLIENT; }
  uint32_t status_code() override { return status_code_; }
  std::string_view method() override { return "GET"; }
  std::string_view path() override { return "/v1/items/42"; }
  std::string_view node_name() override { return "node-a"; }
  const v1::Endpoint& source() override { return source_; }
  const v1::Endpoint& destination() override { return destination_; }
  const v1::BatchEvent& details() override {
    ++details_asked_;
    return details_;
  }
  std::string_view text(uint32_t id) override { return texts_[id]; }

  uint32_t Id(const std::string& text) {
    texts_.push_back(text);
    return static_cast<uint32_t>(texts_.size() - 1);
  }

  uint32_t status_code_ = 404;
  v1::Endpoint source_;
  v1::Endpoint destination_;
  v1::BatchEvent details_;
  std::vector<std::string> texts_ = {""};
  int details_asked_ = 0;
};

bool MatchesEvent(const std::string& filters, TestEvent& event) {
  const v1::FollowEventsRequest request = Parse(filters);
  const auto matcher = EventMatcher::Compile(request.include(), request.exclude());
  EXPECT_TRUE(matcher.ok()) << matcher.status();
  return matcher.ok() && matcher->Matches(event);
}

struct Row {
  const char* filters;
  bool matches;
};

class FilterTable : public testing::TestWithParam<Row> {};

TEST_P(FilterTable, Matches) {
  TestEvent event;
  EXPECT_EQ(MatchesEvent(GetParam().filters, event), GetParam().matches) << GetParam().filters;
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
        Row{"include { source { pod: 'web-1' } destination { pod: 'api-2' } }", false},
        Row{"include { endpoint { workload: 'web' } }", true},
        Row{"include { endpoint { workload: 'we*' } }", true},
        Row{"include { endpoint { workload: 'web-1' } }", false},
        Row{"include { endpoint { workload: 'shop/web' } }", true},
        Row{"include { endpoint { workload: 'pay/*' } }", false},
        Row{"include { endpoint { workload: ['x', 'web'] } }", true},
        // Nothing is known of the destination.
        Row{"include { destination { workload: '*' } }", false},
        Row{"include { destination { service: '*' } }", false},
        Row{"include { source { service: 'storefront' } }", true},
        Row{"include { source { service: 'store*' } }", true},
        Row{"include { source { service: 'store' } }", false},
        Row{"include { endpoint { label: 'app' } }", true},
        Row{"include { endpoint { label: 'APP' } }", false},
        Row{"include { endpoint { label: 'app=web' } }", true},
        Row{"include { endpoint { label: 'app=we*' } }", true},
        Row{"include { endpoint { label: 'app=' } }", false},
        Row{"include { endpoint { label: 'canary=' } }", true},
        Row{"include { endpoint { label: 'app.kubernetes.io/part-of=shop-*' } }", true},
        Row{"include { endpoint { label: ['app=api', 'canary'] } }", true},
        Row{"include { endpoint { label: 'app=web,canary' } }", true},
        Row{"include { endpoint { label: 'app=web,tier' } }", false},
        Row{"include { destination { label: 'app' } }", false},
        Row{"exclude { source { label: 'app=web' } }", false},
        Row{"exclude { destination { label: 'app=web' } }", true},
        Row{"include { endpoint { label: 'app=web' namespace: 'pay' } }", false},
        Row{"include { endpoint { ip: '10.1.2.3' } }", true},
        Row{"include { endpoint { ip: '10.0.0.0/8' } }", true},
        Row{"include { endpoint { ip: ['10.2.0.0/16', 'fd00::/8'] } }", true},
        Row{"include { source { ip: 'fd00::/8' } }", false},
        Row{"include { destination { ip: 'FD00:1:0::80' } }", true},
        Row{"include { destination { ip: '::/0' } }", true},
        Row{"include { source { ip: '::/0' } }", false},
        Row{"include { source { ip: '0.0.0.0/0' } }", true},
        Row{"include { endpoint { port: 8080 } }", true},
        Row{"include { endpoint { port: [80, 40000] } }", true},
        Row{"include { source { port: 8080 } }", false},
        Row{"include { destination { port: 8080 } }", true},
        // Address of one end, port of the other.
        Row{"include { endpoint { ip: '10.1.2.3' port: 8080 } }", false},
        Row{"include { endpoint { ip: 'fd00:1::80' port: 8080 } }", true},
        Row{"include { node: 'node-a' }", true}, Row{"include { node: 'node' }", false},
        Row{"include { node: ['x', 'node-*'] }", true},
        Row{"include { host: 'api.pay.example' }", true},
        Row{"include { host: 'api.pay.example:8080' }", true},
        Row{"include { host: 'Api.Pay.Example:80' }", false},
        Row{"include { host: 'pay.example' }", false},
        Row{"include { host: '*.pay.example' }", true},
        Row{"include { host: '*.example:8080' }", true},
        Row{"include { host: '*.api.pay.example' }", false},
        Row{"include { min_duration { nanos: 250000000 } }", true},
        Row{"include { min_duration { nanos: 250000001 } }", false},
        Row{"include { min_duration { seconds: 1 } }", false},
        Row{"exclude { min_duration { nanos: 1 } }", false},
        Row{"include { outcome: OUTCOME_COMPLETE }", true},
        Row{"include { outcome: [OUTCOME_TIMEOUT, OUTCOME_NO_RESPONSE] }", false},
        Row{"include { trace_id: '0AF7651916CD43DD8448EB211C80319C' }", true},
        Row{"include { trace_id: '0af7651916cd43dd8448eb211c80319d' }", false},
        Row{"include { header: 'User-Agent' }", true},
        Row{"include { header: 'content-type' }", true}, Row{"include { header: 'x' }", false},
        Row{"include { header: 'user-agent: curl/8.1' }", true},
        Row{"include { header: 'user-agent:curl*' }", true},
        Row{"include { header: 'user-agent:CURL*' }", false},
        Row{"include { header: 'accept:curl/8.1' }", false},
        Row{"include { header: 'accept:' }", false},
        Row{"include { header: ['x', 'content-type:text/*'] }", true},
        Row{"include { header: 'user-agent' host: 'elsewhere' }", false}));

TEST(EventMatcher, NothingWithoutAResponseHasAStatus) {
  TestEvent event;
  event.status_code_ = 0;
  EXPECT_FALSE(MatchesEvent("include { status: ['1xx', '100-999'] }", event));
}

TEST(EventMatcher, AnEndWithoutAPodMatchesNoPodPattern) {
  TestEvent event;
  event.source_.clear_pod_name();
  event.destination_.clear_pod_name();
  EXPECT_FALSE(MatchesEvent("include { endpoint { pod: '*' } }", event));
}

TEST(EventMatcher, WhatIsAbsentMatchesNoValue) {
  TestEvent event;
  event.source_.clear_ip();
  event.destination_.clear_ip();
  event.details_.clear_host_string();
  event.details_.clear_trace_id_string();
  EXPECT_FALSE(MatchesEvent("include { endpoint { ip: ['0.0.0.0/0', '::/0'] } }", event));
  EXPECT_FALSE(MatchesEvent("include { host: '*.example' }", event));
  EXPECT_FALSE(MatchesEvent("include { trace_id: '00000000000000000000000000000000' }", event));
}

// Decoding is what a scan spends its time on.
TEST(EventMatcher, DecodesOnlyWhatPassesTheCheapConditions) {
  TestEvent event;
  MatchesEvent("include { status: '5xx' host: 'x' endpoint { port: 1 } }", event);
  MatchesEvent("include { endpoint { pod: 'x' port: 1 } }", event);
  MatchesEvent("include { endpoint { workload: 'x' port: 1 } }", event);
  MatchesEvent("include { endpoint { label: 'x' port: 1 } }", event);
  MatchesEvent("include { method: 'GET' path: '/v1/*' node: 'node-a' status: '4xx' }", event);
  EXPECT_EQ(event.details_asked_, 0);
  MatchesEvent("include { status: '4xx' host: 'x' }", event);
  EXPECT_EQ(event.details_asked_, 1);
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
    testing::Values(
        BadRow{"include { status: 'abc' }", "include[0].status[0]"},
        BadRow{"include {} include { status: ['404', '4x'] }", "include[1].status[1]"},
        BadRow{"exclude { status: '500-400' }", "exclude[0].status[0]"},
        BadRow{"include { status: '0xx' }", "include[0].status[0]"},
        BadRow{"include { status: '' }", "include[0].status[0]"},
        BadRow{"include { status: '4044' }", "include[0].status[0]"},
        BadRow{"include { path: '~(' }", "include[0].path[0]"},
        BadRow{"include { reporter: REPORTER_UNSPECIFIED }", "include[0].reporter[0]"},
        BadRow{"include { source { pod: '' } }", "include[0].source.pod[0]"},
        BadRow{"include { source { pod: 'a/b/c' } }", "include[0].source.pod[0]"},
        BadRow{"include { endpoint { pod: 'a/' } }", "include[0].endpoint.pod[0]"},
        BadRow{"include { source { workload: '' } }", "include[0].source.workload[0]"},
        BadRow{"include { source { workload: 'a/b/c' } }", "include[0].source.workload[0]"},
        BadRow{"include { source { service: '' } }", "include[0].source.service[0]"},
        BadRow{"include { source { label: '' } }", "include[0].source.label[0]"},
        BadRow{"include { source { label: '=x' } }", "include[0].source.label[0]"},
        BadRow{"include { source { label: 'a,' } }", "include[0].source.label[0]"},
        BadRow{"include { source { label: 'a in (b)' } }", "include[0].source.label[0]"},
        BadRow{"include { endpoint { label: ['a', 'b!=c'] } }", "include[0].endpoint.label[1]"},
        BadRow{"include { source { ip: '10.0.0' } }", "include[0].source.ip[0]"},
        BadRow{"include { endpoint { ip: '' } }", "include[0].endpoint.ip[0]"},
        BadRow{"exclude { destination { ip: ['::1', '10.0.0.0/33'] } }",
               "exclude[0].destination.ip[1]"},
        BadRow{"include { endpoint { port: 0 } }", "include[0].endpoint.port[0]"},
        BadRow{"include { source { port: 65536 } }", "include[0].source.port[0]"},
        BadRow{"include { host: '' }", "include[0].host[0]"},
        BadRow{"include { host: 'a*' }", "include[0].host[0]"},
        BadRow{"include { host: '::1' }", "include[0].host[0]"},
        BadRow{"include { min_duration { seconds: -1 } }", "include[0].min_duration"},
        BadRow{"include { min_duration { nanos: 1000000000 } }", "include[0].min_duration"},
        BadRow{"include { outcome: OUTCOME_UNSPECIFIED }", "include[0].outcome[0]"},
        BadRow{"include { trace_id: '1234' }", "include[0].trace_id[0]"},
        BadRow{"include { trace_id: '0af7651916cd43dd8448eb211c80319g' }",
               "include[0].trace_id[0]"},
        BadRow{"include { header: '' }", "include[0].header[0]"},
        BadRow{"include { header: ':x' }", "include[0].header[0]"},
        BadRow{"include { header: 'a b' }", "include[0].header[0]"}));

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
  filter.clear_method();
  for (uint32_t port = 1; port <= 1000; ++port) {
    filter.mutable_source()->add_port(port);
  }
  EXPECT_TRUE(EventMatcher::Compile(request.include(), request.exclude()).ok());
  filter.add_header("x");
  EXPECT_FALSE(EventMatcher::Compile(request.include(), request.exclude()).ok());
}

}  // namespace
}  // namespace podtap::query
