#include "agent/enrichment/enricher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "tests/unit/enrichment/exchange_builder.h"

namespace podtap::enrichment {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

class EnricherTest : public testing::Test {
 protected:
  EnricherTest() {
    directory_.Publish(MakeTap(1, "web"));
    directory_.Publish(MakeTap(2, "api"));
  }

  Event Enrich(pairing::Exchange exchange) {
    const size_t before = sink_.events.size();
    enricher_.OnExchange(std::move(exchange));
    EXPECT_EQ(sink_.events.size(), before + 1);
    return sink_.events.empty() ? Event() : sink_.events.back();
  }

  FakeClock clock_;
  TapDirectory directory_;
  TapReader taps_{directory_};
  AddressBook book_{directory_};
  EventCollector sink_;
  Enricher enricher_{{}, clock_, taps_, book_, {&sink_}};
};

TEST_F(EnricherTest, CarriesTheExchangeOver) {
  pairing::Exchange exchange = MakeExchange("POST", "/a?b=c");
  exchange.outcome = pairing::Outcome::kConnectionReset;
  exchange.flags = static_cast<uint32_t>(pairing::Flag::kGap);
  exchange.informational_status_codes = {100, 103};
  exchange.upgrade_protocol = "websocket";
  const Event event = Enrich(std::move(exchange));
  EXPECT_EQ(event.exchange_key, 0x0123456789abcdefu);
  EXPECT_EQ(event.connection_id, 7u);
  EXPECT_EQ(event.exchange_index, 3u);
  EXPECT_EQ(event.tap->interface_name, "veth1");
  EXPECT_EQ(event.request.method, "POST");
  EXPECT_EQ(event.request.path, "/a");
  EXPECT_EQ(event.request.query, "b=REDACTED");
  EXPECT_STREQ(event.request.protocol_version, "1.1");
  EXPECT_EQ(event.request.header_size, 100u);
  EXPECT_EQ(event.request.body_size, 11u);
  ASSERT_TRUE(event.response);
  EXPECT_EQ(event.response->status_code, 200);
  EXPECT_EQ(event.response->header_size, 50u);
  EXPECT_EQ(event.response->body_size, 22u);
  EXPECT_EQ(event.outcome, pairing::Outcome::kConnectionReset);
  EXPECT_EQ(event.flags, static_cast<uint32_t>(pairing::Flag::kGap));
  EXPECT_THAT(event.informational_status_codes, ElementsAre(100, 103));
  EXPECT_EQ(event.upgrade_protocol, "websocket");
}

TEST_F(EnricherTest, WallTimeIsMonotonicPlusOffset) {
  clock_.monotonic_ns = 20'000;
  clock_.wall_ns = 1'000'000;
  const Event event = Enrich(MakeExchange());
  EXPECT_EQ(event.start_unix_ns, 1'000'000 - 20'000 + 5'000);
  EXPECT_EQ(event.request_end_ns, 1'000u);
  EXPECT_EQ(event.response_start_ns, 3'000u);
  EXPECT_EQ(event.end_ns, 4'000u);
}

TEST_F(EnricherTest, JitterOfTheClocksDoesNotMoveEventsButAStepDoes) {
  clock_.monotonic_ns = 20'000;
  clock_.wall_ns = 1'000'000'000;
  const int64_t start_ns = Enrich(MakeExchange()).start_unix_ns;
  clock_.wall_ns += 900;
  EXPECT_EQ(Enrich(MakeExchange()).start_unix_ns, start_ns);
  clock_.wall_ns += 3'600'000'000'000;
  EXPECT_EQ(Enrich(MakeExchange()).start_unix_ns, start_ns + 900 + 3'600'000'000'000);
}

TEST_F(EnricherTest, TimesBeforeTheStartAreZero) {
  pairing::Exchange exchange = MakeExchange();
  exchange.request_end_ns = 1;
  exchange.response->head.start_ns = 2;
  exchange.end_ns = 3;
  const Event event = Enrich(std::move(exchange));
  EXPECT_EQ(event.request_end_ns, 0u);
  EXPECT_EQ(event.response_start_ns, 0u);
  EXPECT_EQ(event.end_ns, 0u);
}

TEST_F(EnricherTest, SourceIsTheClient) {
  const Event client = Enrich(MakeExchange());
  EXPECT_EQ(client.reporter, Reporter::kClient);
  EXPECT_EQ(client.source.ip, Ip("10.0.0.1"));
  EXPECT_EQ(client.source.port, 40000);
  EXPECT_EQ(client.source.kind, EndpointKind::kPod);
  EXPECT_EQ(client.source.metadata_state, MetadataState::kResolved);
  EXPECT_EQ(client.source.pod->pod_name, "web");
  EXPECT_EQ(client.destination.ip, Ip("10.0.0.2"));
  EXPECT_EQ(client.destination.port, 80);

  pairing::Exchange exchange = MakeExchange();
  exchange.pod_is_client = false;
  const Event server = Enrich(std::move(exchange));
  EXPECT_EQ(server.reporter, Reporter::kServer);
  EXPECT_EQ(server.destination.ip, Ip("10.0.0.1"));
  EXPECT_EQ(server.destination.pod->pod_name, "web");
  EXPECT_EQ(server.source.ip, Ip("10.0.0.2"));
}

TEST_F(EnricherTest, NamesTheFarEnd) {
  Event event = Enrich(MakeExchange());
  EXPECT_EQ(event.destination.kind, EndpointKind::kUnknown);
  EXPECT_EQ(event.destination.metadata_state, MetadataState::kUnresolved);
  EXPECT_EQ(event.destination.pod, nullptr);

  book_.Learn({.slot = 2, .generation = 1}, Ip("10.0.0.2"));
  event = Enrich(MakeExchange());
  EXPECT_EQ(event.destination.kind, EndpointKind::kPod);
  EXPECT_EQ(event.destination.metadata_state, MetadataState::kResolved);
  EXPECT_EQ(event.destination.pod->pod_name, "api");

  directory_.SetNodeAddresses({Ip("10.0.0.2")});
  event = Enrich(MakeExchange());
  EXPECT_EQ(event.destination.kind, EndpointKind::kNode) << "no pod owns the node's address";
  EXPECT_EQ(event.destination.metadata_state, MetadataState::kResolved);
  EXPECT_EQ(event.destination.pod, nullptr);
}

// A pod that is only talked to may be so by mistake, as when a bridge floods: it proves nothing.
TEST_F(EnricherTest, AnAddressThatNeverLeftAPodsTapNamesNobody) {
  Enrich(MakeExchange());
  pairing::Exchange exchange = MakeExchange();
  exchange.connection.tap.slot = 2;
  exchange.connection.local = Ip("10.0.0.2");
  exchange.connection.remote = Ip("10.0.0.1");
  exchange.pod_is_client = false;
  EXPECT_EQ(Enrich(pairing::Exchange(exchange)).source.pod, nullptr);
  book_.Learn({.slot = 1, .generation = 1}, Ip("10.0.0.1"));
  const Event event = Enrich(std::move(exchange));
  ASSERT_NE(event.source.pod, nullptr);
  EXPECT_EQ(event.source.pod->pod_name, "web");
}

TEST_F(EnricherTest, AClosedTapIsStale) {
  directory_.Retire({.slot = 1, .generation = 1}, 0);
  const Event event = Enrich(MakeExchange());
  EXPECT_EQ(event.source.metadata_state, MetadataState::kStale);
  EXPECT_EQ(event.source.pod->pod_name, "web");
}

TEST_F(EnricherTest, AnUnknownTapIsALoss) {
  pairing::Exchange exchange = MakeExchange();
  exchange.connection.tap.generation = 9;
  enricher_.OnExchange(std::move(exchange));
  EXPECT_THAT(sink_.events, IsEmpty());
  EXPECT_EQ(enricher_.counters().tap_unknown, 1u);
}

TEST_F(EnricherTest, TakesTheReportersWanted) {
  for (const auto filter :
       {ReporterFilter::kBoth, ReporterFilter::kClient, ReporterFilter::kServer}) {
    EventCollector sink;
    Enricher enricher({.reporters = filter}, clock_, taps_, book_, {&sink});
    for (const bool pod_is_client : {true, false}) {
      pairing::Exchange exchange = MakeExchange();
      exchange.pod_is_client = pod_is_client;
      enricher.OnExchange(std::move(exchange));
    }
    for (const Event& event : sink.events) {
      EXPECT_FALSE(filter == ReporterFilter::kClient && event.reporter == Reporter::kServer);
      EXPECT_FALSE(filter == ReporterFilter::kServer && event.reporter == Reporter::kClient);
    }
    const EnricherCounters& counters = enricher.counters();
    EXPECT_EQ(counters.events, filter == ReporterFilter::kBoth ? 2u : 1u);
    EXPECT_EQ(counters.exchanges,
              counters.events + counters.excluded_by_reporters + counters.tap_unknown);
  }
}

// An exchange on the loopback of pod web.
pairing::Exchange OnLoopback(bool client_is_local, const std::string& client,
                             const std::string& server) {
  pairing::Exchange exchange = MakeExchange();
  exchange.connection.tap.slot = 3;
  exchange.pod_is_client = client_is_local;
  capture::ConnectionKey& key = exchange.connection;
  key.local = Ip(client_is_local ? client : server);
  key.remote = Ip(client_is_local ? server : client);
  key.local_port = client_is_local ? 40000 : 80;
  key.remote_port = client_is_local ? 80 : 40000;
  return exchange;
}

TEST_F(EnricherTest, OnLoopbackBothEndsAreThePodsWhateverTheirAddresses) {
  directory_.Publish(MakeTap(3, "web", CaptureMode::kPodLoopback));
  // Of the host's own loopback, of another pod.
  directory_.SetNodeAddresses({Ip("127.0.0.1"), Ip("192.0.2.9")});
  book_.Learn({.slot = 2, .generation = 1}, Ip("10.0.0.2"));
  for (const bool client_is_local : {true, false}) {
    for (const auto& [client, server] :
         {std::pair("127.0.0.1", "127.0.0.1"), std::pair("::1", "::1"),
          std::pair("10.0.0.1", "10.0.0.1"), std::pair("10.0.0.2", "127.0.0.1"),
          std::pair("192.0.2.9", "10.0.0.1")}) {
      const Event event = Enrich(OnLoopback(client_is_local, client, server));
      EXPECT_EQ(event.reporter, Reporter::kServer);
      EXPECT_EQ(event.source.ip, Ip(client));
      EXPECT_EQ(event.source.port, 40000);
      EXPECT_EQ(event.destination.ip, Ip(server));
      EXPECT_EQ(event.destination.port, 80);
      for (const Endpoint* end : {&event.source, &event.destination}) {
        EXPECT_EQ(end->kind, EndpointKind::kPod);
        EXPECT_EQ(end->metadata_state, MetadataState::kResolved);
        ASSERT_NE(end->pod, nullptr);
        EXPECT_EQ(end->pod->pod_name, "web");
      }
    }
  }
  directory_.Retire({.slot = 3, .generation = 1}, 0);
  const Event event = Enrich(OnLoopback(true, "127.0.0.1", "127.0.0.1"));
  EXPECT_EQ(event.source.metadata_state, MetadataState::kStale);
  EXPECT_EQ(event.destination.metadata_state, MetadataState::kStale);
}

// Its one report is of both reporters.
TEST_F(EnricherTest, WhatStaysInAPodIsReportedOnceWhicheverReportersAreWanted) {
  directory_.Publish(MakeTap(3, "web", CaptureMode::kPodLoopback));
  for (const auto& [filter, reporter] : {std::pair(ReporterFilter::kBoth, Reporter::kServer),
                                         std::pair(ReporterFilter::kServer, Reporter::kServer),
                                         std::pair(ReporterFilter::kClient, Reporter::kClient)}) {
    EventCollector sink;
    Enricher enricher({.reporters = filter}, clock_, taps_, book_, {&sink});
    for (const bool client_is_local : {true, false}) {
      enricher.OnExchange(OnLoopback(client_is_local, "127.0.0.1", "127.0.0.1"));
    }
    ASSERT_EQ(sink.events.size(), 2u);
    EXPECT_EQ(sink.events[0].reporter, reporter);
    EXPECT_EQ(sink.events[1].reporter, reporter);
    EXPECT_EQ(enricher.counters().excluded_by_reporters, 0u);
  }
}

TEST_F(EnricherTest, ByReportersATapThatIsNotKnownIsLeftOutAsOthersAre) {
  Enricher enricher({.reporters = ReporterFilter::kServer}, clock_, taps_, book_, {&sink_});
  enricher.OnExchange(OnLoopback(true, "127.0.0.1", "127.0.0.1"));
  EXPECT_EQ(enricher.counters().excluded_by_reporters, 1u);
}

// The server's port is the far end's where the pod is the client, and the pod's own else.
TEST_F(EnricherTest, TakesThePortsWanted) {
  struct Row {
    TrafficSelection traffic;
    bool of_client;
    bool of_server;
  };
  // 10.0.0.1:40000 to 10.0.0.2:80; served, the pod is at port 40000.
  for (const Row& row : {Row{{}, true, true}, Row{{.include_ports = {80}}, true, false},
                         Row{{.include_ports = {81, 40000}}, false, true},
                         Row{{.exclude_ports = {80, 443}}, false, true},
                         Row{{.exclude_ports = {40000}}, true, false},
                         Row{{.include_ports = {80}, .exclude_ports = {80}}, false, false}}) {
    EventCollector sink;
    Enricher enricher({.traffic = row.traffic}, clock_, taps_, book_, {&sink});
    for (const bool pod_is_client : {true, false}) {
      pairing::Exchange exchange = MakeExchange();
      exchange.pod_is_client = pod_is_client;
      enricher.OnExchange(std::move(exchange));
    }
    std::vector<Reporter> reporters;
    for (const Event& event : sink.events) {
      reporters.push_back(event.reporter);
    }
    std::vector<Reporter> wanted;
    if (row.of_client) {
      wanted.push_back(Reporter::kClient);
    }
    if (row.of_server) {
      wanted.push_back(Reporter::kServer);
    }
    EXPECT_EQ(reporters, wanted);
    EXPECT_EQ(enricher.counters().excluded_by_port, 2 - wanted.size());
  }
}

TEST_F(EnricherTest, LeavesProbesOutWhenTold) {
  EventCollector sink;
  Enricher enricher({.traffic = {.exclude_probes = true}}, clock_, taps_, book_, {&sink});
  enricher.OnExchange(MakeExchange("GET", "/probe", {{"user-agent", "kube-probe/1.29"}}));
  enricher.OnExchange(MakeExchange("GET", "/no", {{"User-Agent", "my-kube-probe/1.29"}}));
  enricher.OnExchange(MakeExchange("GET", "/none"));
  ASSERT_EQ(sink.events.size(), 2u);
  EXPECT_EQ(sink.events[0].request.path, "/no");
  EXPECT_FALSE(sink.events[0].is_probe);
  EXPECT_EQ(sink.events[1].request.path, "/none");
  EXPECT_EQ(enricher.counters().excluded_probes, 1u);
}

TEST_F(EnricherTest, WhatAnExcludedPodsTapSawStays) {
  auto tap = std::make_shared<TapInfo>(*MakeTap(1, "web"));
  tap->is_excluded = true;
  directory_.Publish(tap);
  enricher_.OnExchange(MakeExchange());
  directory_.Retire(tap->id, 0);
  enricher_.OnExchange(MakeExchange());
  EXPECT_THAT(sink_.events, IsEmpty());
  EXPECT_EQ(enricher_.counters().excluded_by_pod, 2u);
}

TEST_F(EnricherTest, HostComesFromTheAbsoluteFormThenTheHeader) {
  EXPECT_EQ(Enrich(MakeExchange("GET", "/", {{"HOST", "u:p@h:80"}})).request.host, "h:80");
  EXPECT_EQ(Enrich(MakeExchange("GET", "http://a/", {{"Host", "b"}})).request.host, "a");
  EXPECT_EQ(Enrich(MakeExchange("CONNECT", "a:443", {{"Host", "b"}})).request.host, "b");
  const Event connect = Enrich(MakeExchange("CONNECT", "u:p@a:443"));
  EXPECT_EQ(connect.request.host, "a:443");
  EXPECT_EQ(connect.request.path, "");
  EXPECT_EQ(Enrich(MakeExchange("OPTIONS", "*")).request.path, "*");
  EXPECT_EQ(Enrich(MakeExchange("GET", "/")).request.host, "");
}

TEST_F(EnricherTest, KeepsAllowedHeadersInOrder) {
  const Event event = Enrich(MakeExchange(
      "GET", "/",
      {{"X-Request-ID", "1"}, {"Cookie", "no"}, {"Accept", "*/*"}, {"accept", "text/html"}},
      {{"Content-Type", "text/plain"}, {"Set-Cookie", "no"}, {"Content-Length", "5"}}));
  EXPECT_THAT(event.request.headers, ElementsAre(Pair("x-request-id", "1"), Pair("accept", "*/*"),
                                                 Pair("accept", "text/html")));
  EXPECT_THAT(event.response->headers,
              ElementsAre(Pair("content-type", "text/plain"), Pair("content-length", "5")));
}

TEST_F(EnricherTest, ReadsWhatHeadersSay) {
  const Event event = Enrich(
      MakeExchange("GET", "/",
                   {{"User-Agent", "kube-probe/1.29"},
                    {"Content-Type", "application/json"},
                    {"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}},
                   {{"Content-Type", "Text/Event-Stream; charset=utf-8"}}));
  EXPECT_EQ(event.request.user_agent, "kube-probe/1.29");
  EXPECT_TRUE(event.is_probe);
  EXPECT_EQ(event.request.content_type, "application/json");
  EXPECT_EQ(event.trace_id, "0af7651916cd43dd8448eb211c80319c");
  EXPECT_EQ(event.span_id, "b7ad6b7169203331");
  EXPECT_EQ(event.response->content_type, "Text/Event-Stream; charset=utf-8");
  EXPECT_TRUE(event.is_event_stream);
}

TEST_F(EnricherTest, TwoTraceparentsNameNoTrace) {
  const std::string value = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const Event event =
      Enrich(MakeExchange("GET", "/", {{"traceparent", value}, {"traceparent", value}}));
  EXPECT_EQ(event.trace_id, "");
  EXPECT_EQ(event.span_id, "");
}

TEST_F(EnricherTest, NothingIsLeftOfTheExchangeBefore) {
  pairing::Exchange full =
      MakeExchange("GET", "http://h/a?b=c",
                   {{"User-Agent", "kube-probe/1"},
                    {"Content-Type", "a/b"},
                    {"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}},
                   {{"Content-Type", "text/event-stream"}});
  full.informational_status_codes = {100};
  full.upgrade_protocol = "x";
  Enrich(std::move(full));

  pairing::Exchange bare = MakeExchange("HEAD", "/");
  bare.response.reset();
  bare.request.minor_version = 0;
  const Event event = Enrich(std::move(bare));
  EXPECT_EQ(event.request.method, "HEAD");
  EXPECT_EQ(event.request.path, "/");
  EXPECT_STREQ(event.request.protocol_version, "1.0");
  EXPECT_EQ(event.request.query + event.request.host + event.request.user_agent +
                event.request.content_type + event.trace_id + event.span_id +
                event.upgrade_protocol,
            "");
  EXPECT_THAT(event.request.headers, IsEmpty());
  EXPECT_THAT(event.informational_status_codes, IsEmpty());
  EXPECT_FALSE(event.response);
  EXPECT_EQ(event.response_start_ns, 0u);
  EXPECT_FALSE(event.is_probe);
  EXPECT_FALSE(event.is_event_stream);

  const Event answered = Enrich(MakeExchange());
  EXPECT_EQ(answered.response->content_type, "");
  EXPECT_THAT(answered.response->headers, IsEmpty());
  EXPECT_FALSE(answered.is_event_stream);
}

TEST_F(EnricherTest, CountsTextsCut) {
  Enrich(MakeExchange());
  EXPECT_EQ(enricher_.counters().texts_cut, 0u);
  const Event event = Enrich(MakeExchange(std::string(10'000, 'M'), "/" + std::string(16'000, 'p'),
                                          Fields(100, {"Accept", std::string(100, 'a')})));
  EXPECT_EQ(enricher_.counters().texts_cut, 1u);
  EXPECT_EQ(event.request.method.size(), kMaxMethodBytes);
  EXPECT_EQ(event.request.path.size(), kMaxPathBytes);
  EXPECT_EQ(event.request.headers.size(), 32u);
}

}  // namespace
}  // namespace podtap::enrichment
