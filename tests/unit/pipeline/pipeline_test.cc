#include "agent/pipeline.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/segment_script.h"

namespace podtap {
namespace {

using testing::ConnectionOptions;
using testing::DescribeAll;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::PipelineHarness;
using testing::TestConnection;

constexpr int64_t kSecondNs = 1'000'000'000;

std::string Get(const std::string& target) { return "GET " + target + " HTTP/1.1\r\n\r\n"; }
std::string Ok(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

class PipelineTest : public ::testing::Test {
 protected:
  ~PipelineTest() override { EXPECT_EQ(harness_.CheckLedger(), ""); }
  PipelineHarness harness_;
};

TEST_F(PipelineTest, FillsAnExchange) {
  ConnectionOptions options;
  options.pod_is_client = true;
  TestConnection connection(harness_, options);
  const int64_t start = harness_.now_ns;
  connection.Client("POST /a HTTP/1.0\r\nContent-Length: 4\r\n\r\n");
  connection.Client("body");
  connection.Server("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
  connection.Server("abc");
  ASSERT_EQ(harness_.exchanges().size(), 1u);
  const pairing::Exchange& exchange = harness_.exchanges()[0];
  EXPECT_TRUE(exchange.pod_is_client);
  EXPECT_EQ(exchange.connection_id, 1u);
  EXPECT_EQ(exchange.exchange_index, 0u);
  EXPECT_EQ(exchange.request.seq, options.client_isn + 1);
  EXPECT_EQ(exchange.response->head.seq, options.server_isn + 1);
  EXPECT_EQ(exchange.request.minor_version, 0);
  EXPECT_EQ(exchange.request.size, 39u);
  EXPECT_EQ(exchange.request_body_size, 4u);
  EXPECT_EQ(exchange.response->head.size, 38u);
  EXPECT_EQ(exchange.request.start_ns, start);
  EXPECT_EQ(exchange.request_end_ns, start + harness_.step_ns);
  EXPECT_EQ(exchange.response->head.start_ns, start + 2 * harness_.step_ns);
  EXPECT_EQ(exchange.end_ns, start + 3 * harness_.step_ns);
  EXPECT_EQ(exchange.flags, 0u);
}

TEST_F(PipelineTest, BothTapsGiveOneKey) {
  for (const bool pod_is_client : {true, false}) {
    ConnectionOptions options;
    options.pod_is_client = pod_is_client;
    options.tap.slot = pod_is_client;
    TestConnection connection(harness_, options);
    connection.Client(Get("/a"));
    connection.Server(Ok("x"));
  }
  ASSERT_EQ(harness_.exchanges().size(), 2u);
  EXPECT_EQ(harness_.exchanges()[0].exchange_key, harness_.exchanges()[1].exchange_key);
  EXPECT_NE(harness_.exchanges()[0].connection_id, harness_.exchanges()[1].connection_id);
}

// The request makes the gap before the server's bytes final, and those turn out to be no HTTP.
TEST_F(PipelineTest, RequestThatFindsTheConnectionOverIsCounted) {
  TestConnection connection(harness_);
  connection.Client(Get("/a"));
  connection.Server("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
  connection.LoseServer(4);
  connection.Server("SMTP ready\r\n");
  connection.Client(Get("/b") + Get("/c"));
  EXPECT_EQ(harness_.Count("connections_opaque"), 1u);
  EXPECT_EQ(harness_.Count("doubtful_requests"), 1u);
  EXPECT_EQ(harness_.pipeline.open_exchanges(), 0u);
  EXPECT_THAT(DescribeAll(harness_.exchanges()),
              ElementsAre("GET /a -> 200 request=0 response=4 COMPLETE GAP"));
}

TEST_F(PipelineTest, PostsHttpOnceTheFirstLineIsRead) {
  TestConnection connection(harness_);
  connection.Client("GET / HT");
  EXPECT_THAT(harness_.feedback.posts, IsEmpty());
  connection.Client("TP/1.1\r\nHost: x\r\n");
  EXPECT_EQ(harness_.feedback.Count(capture::Verdict::kHttp), 1u);
  connection.Client("\r\n");
  connection.Server(Ok("x"));
  connection.Client(Get("/b"));
  EXPECT_EQ(harness_.feedback.posts.size(), 1u);
}

TEST_F(PipelineTest, PostsOpaque) {
  TestConnection connection(harness_);
  connection.Client("\x01\x02\x03");
  EXPECT_EQ(harness_.feedback.Count(capture::Verdict::kOpaque), 1u);
  connection.Server("\x01\x02\x03");
  EXPECT_EQ(harness_.feedback.posts.size(), 1u);
  EXPECT_EQ(harness_.Bytes("opaque"), 3u);
  connection.ClientFin();
  connection.ServerFin();
  EXPECT_EQ(harness_.pipeline.connections(), 0u);
}

// A gibibyte of which the kernel side copies scraps that look like requests.
TEST_F(PipelineTest, LargeBodyOfKnownLengthIsSkipped) {
  TestConnection connection(harness_);
  constexpr uint64_t kSize = uint64_t{1} << 30;
  connection.Client("PUT /big HTTP/1.1\r\nContent-Length: " + std::to_string(kSize) + "\r\n\r\n");
  const uint64_t body_begin = connection.client_next();
  const auto& posts = harness_.feedback.posts;
  ASSERT_EQ(posts.size(), 1u);
  const auto skip = posts[0].second.skip_until[static_cast<size_t>(capture::Direction::kToPod)];
  ASSERT_TRUE(skip);
  EXPECT_EQ(*skip, connection.Make(true, body_begin + kSize).seq);
  uint64_t sent = 0;
  const std::string scrap = Get("/fake");
  while (sent + (1 << 24) < kSize) {
    // Feedback is late for some, in time for others.
    connection.Client(scrap);
    connection.ClientLarge(scrap, 60'000, scrap);
    connection.CoalesceClient((1 << 23) - 1);
    sent = connection.client_next() - body_begin;
  }
  connection.CoalesceClient(kSize - sent);
  connection.Server(Ok(""));
  connection.Client(Get("/next"));
  connection.Server(Ok("x"));
  EXPECT_THAT(DescribeAll(harness_.exchanges()),
              ElementsAre("PUT /big -> 200 request=1073741824 response=0 COMPLETE",
                          "GET /next -> 200 request=0 response=1 COMPLETE"));
  EXPECT_EQ(posts.size(), 1u);
}

TEST_F(PipelineTest, BodyLongerThanTheSequenceSpace) {
  TestConnection connection(harness_);
  constexpr uint64_t kSize = uint64_t{9} << 30;
  connection.Client(Get("/huge"));
  connection.Server("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kSize) + "\r\n\r\n");
  uint64_t left = kSize;
  while (left > 0) {
    const uint64_t part = std::min<uint64_t>(left, 100 << 20);
    connection.CoalesceServer(part);
    left -= part;
  }
  connection.Client(Get("/next"));
  connection.Server(Ok("x"));
  EXPECT_THAT(DescribeAll(harness_.exchanges()),
              ElementsAre("GET /huge -> 200 request=0 response=9663676416 COMPLETE",
                          "GET /next -> 200 request=0 response=1 COMPLETE"));
  // Once for HTTP, then renewed about every half gibibyte.
  EXPECT_GT(harness_.feedback.posts.size(), 10u);
  EXPECT_LT(harness_.feedback.posts.size(), 30u);
}

TEST_F(PipelineTest, LargeChunkIsSkippedAndItsFramingKept) {
  TestConnection connection(harness_);
  connection.Client(Get("/a"));
  connection.Server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n");
  ASSERT_EQ(harness_.feedback.posts.size(), 2u);
  connection.ServerLarge("abc", 50'000, "xyz");
  connection.CoalesceServer(0x100000 - 50'006);
  connection.Server("\r\n0\r\n\r\n");
  EXPECT_THAT(DescribeAll(harness_.exchanges()),
              ElementsAre("GET /a -> 200 request=0 response=1048591 COMPLETE"));
}

TEST_F(PipelineTest, LargeSegmentsOverChunkBordersAreInferred) {
  TestConnection connection(harness_);
  connection.Client(Get("/a"));
  connection.Server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  connection.ServerLarge("1000\r\nabc", 60'000, "xyz");
  connection.ServerLarge("GET / HTTP/1.1\r\n\r\n", 60'000, "HTTP/1.1 200 OK\r\n\r\n");
  connection.ServerLarge("abc", 60'000, "xyz\r\n0\r\n\r\n");
  connection.Client(Get("/b"));
  connection.Server(Ok("x"));
  EXPECT_THAT(DescribeAll(harness_.exchanges()),
              ElementsAre("GET /a -> 200 request=0 response=180062 COMPLETE FRAMING_INFERRED",
                          "GET /b -> 200 request=0 response=1 COMPLETE"));
  EXPECT_GT(harness_.Bytes("unframed"), 0u);
}

TEST_F(PipelineTest, ClientThatGoesOnEndsAnUnframedResponse) {
  TestConnection connection(harness_);
  connection.Client(Get("/a"));
  connection.Server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  connection.ServerLarge("1000\r\nabc", 60'000, "xyz");
  connection.Client(Get("/b"));
  connection.Server(Ok("x"));
  EXPECT_THAT(DescribeAll(harness_.exchanges()),
              ElementsAre("GET /a -> 200 request=0 response=60012 COMPLETE FRAMING_INFERRED",
                          "GET /b -> 200 request=0 response=1 COMPLETE"));
}

TEST_F(PipelineTest, LossInsideABodyIsNoDoubt) {
  TestConnection connection(harness_);
  connection.Client("PUT /a HTTP/1.1\r\nContent-Length: 10\r\n\r\n");
  connection.LoseClient(5);
  connection.Client("56789");
  connection.Server("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
  connection.LoseServer(5);
  connection.Server("56789");
  harness_.Sleep(2 * kSecondNs);
  connection.Client(Get("/b"));
  connection.Server(Ok("x"));
  EXPECT_THAT(DescribeAll(harness_.exchanges(), static_cast<uint32_t>(pairing::Flag::kReordered)),
              ElementsAre("PUT /a -> 200 request=10 response=10 COMPLETE GAP",
                          "GET /b -> 200 request=0 response=1 COMPLETE"));
  EXPECT_EQ(harness_.Bytes("gap_lost"), 10u);
}

TEST_F(PipelineTest, LostExchangeCostsOnlyItself) {
  TestConnection connection(harness_);
  connection.Client(Get("/a"));
  connection.Server(Ok("a"));
  connection.LoseClient(Get("/b").size());
  connection.LoseServer(Ok("b").size());
  connection.Client(Get("/c"));
  connection.Server(Ok("c"));
  connection.Client(Get("/d"));
  connection.Server(Ok("d"));
  harness_.Finish();
  const auto all =
      DescribeAll(harness_.exchanges(), static_cast<uint32_t>(pairing::Flag::kReordered));
  ASSERT_GE(all.size(), 2u);
  EXPECT_EQ(all.front(), "GET /a -> 200 request=0 response=1 COMPLETE");
  EXPECT_EQ(all.back(), "GET /d -> 200 request=0 response=1 COMPLETE GAP");
}

TEST_F(PipelineTest, TimesOutAfterIdleness) {
  PipelineHarness harness;
  TestConnection connection(harness);
  connection.Client(Get("/a"));
  harness.pipeline.OnTick(harness.now_ns + 599 * kSecondNs);
  EXPECT_THAT(harness.exchanges(), IsEmpty());
  harness.now_ns += 601 * kSecondNs;
  harness.pipeline.OnTick(harness.now_ns);
  EXPECT_THAT(DescribeAll(harness.exchanges()), ElementsAre("GET /a -> none request=0 TIMEOUT"));
  EXPECT_EQ(harness.feedback.forgotten.size(), 1u);
  EXPECT_EQ(harness.Count("connections_timed_out"), 1u);
  // The late response is counted, and no second event.
  ConnectionOptions late;
  late.midstream = true;
  late.opened_ns = 9;
  TestConnection again(harness, late);
  again.Server(Ok("late"));
  harness.Finish();
  EXPECT_EQ(harness.exchanges().size(), 1u);
  EXPECT_EQ(harness.Count("orphan_responses"), 1u);
  EXPECT_EQ(harness.CheckLedger(), "");
}

TEST_F(PipelineTest, TupleReuseEndsTheOldConnection) {
  TestConnection first(harness_);
  first.Client(Get("/a"));
  ConnectionOptions options;
  options.opened_ns = 6;
  options.client_isn = 5;
  TestConnection second(harness_, options);
  second.Client(Get("/b"));
  EXPECT_THAT(DescribeAll(harness_.exchanges()),
              ElementsAre("GET /a -> none request=0 NO_RESPONSE"));
  ASSERT_EQ(harness_.feedback.forgotten.size(), 1u);
  EXPECT_EQ(harness_.feedback.forgotten[0].opened_ns, 5);
  first.Server(Ok("stale"));
  EXPECT_EQ(harness_.Count("stale"), 1u);
  second.Server(Ok("b"));
  EXPECT_EQ(harness_.exchanges().size(), 2u);
}

TEST_F(PipelineTest, ClosedTapEndsItsConnectionsOnly) {
  TestConnection mine(harness_);
  mine.Client(Get("/a"));
  ConnectionOptions options;
  options.tap = {1, 2};
  TestConnection other(harness_, options);
  other.Client(Get("/b"));
  harness_.pipeline.CloseTaps({capture::TapId{1, 1}}, harness_.now_ns);
  EXPECT_EQ(harness_.pipeline.connections(), 1u);
  EXPECT_EQ(harness_.pipeline.open_exchanges(), 1u);
  harness_.Finish();
  EXPECT_THAT(
      DescribeAll(harness_.exchanges()),
      ElementsAre("GET /a -> none request=0 NO_RESPONSE", "GET /b -> none request=0 NO_RESPONSE"));
}

TEST_F(PipelineTest, RefusesConnectionsOverTheBound) {
  PipelineLimits limits;
  limits.max_connections = 2;
  PipelineHarness harness(limits);
  for (uint16_t port = 1; port <= 3; ++port) {
    ConnectionOptions options;
    options.client_port = port;
    TestConnection connection(harness, options);
    connection.Client(Get("/a"));
    if (port == 1) {
      connection.Server(Ok("x"));
    }
  }
  EXPECT_EQ(harness.pipeline.connections(), 2u);
  EXPECT_EQ(harness.Count("table_full"), 1u);
  EXPECT_EQ(harness.CheckLedger(), "");
  // A connection that is over makes room.
  ConnectionOptions options;
  options.client_port = 1;
  TestConnection first(harness, options);
  first.ClientAt(Get("/a").size(), "", {.rst = true});
  options.client_port = 3;
  TestConnection third(harness, options);
  third.Client(Get("/c"));
  EXPECT_EQ(harness.pipeline.connections(), 2u);
  EXPECT_EQ(harness.Count("table_full"), 1u);
}

TEST_F(PipelineTest, ForeignResetIsIgnored) {
  TestConnection connection(harness_);
  connection.Client(Get("/a"));
  connection.ServerAt(0x20000000, "", {.rst = true});
  EXPECT_EQ(harness_.Count("ignored_resets"), 1u);
  connection.Server(Ok("x"));
  EXPECT_THAT(DescribeAll(harness_.exchanges()),
              ElementsAre("GET /a -> 200 request=0 response=1 COMPLETE"));
}

TEST_F(PipelineTest, MarksWhatWasSentAgain) {
  TestConnection connection(harness_);
  connection.Client(Get("/a"));
  connection.ClientAt(0, Get("/a"));
  connection.Server(Ok("x"));
  connection.Client(Get("/b"));
  connection.Server(Ok("y"));
  EXPECT_THAT(DescribeAll(harness_.exchanges()),
              ElementsAre("GET /a -> 200 request=0 response=1 COMPLETE RETRANSMITTED",
                          "GET /b -> 200 request=0 response=1 COMPLETE"));
}

TEST_F(PipelineTest, ConflictingCopiesGiveWhatAReceiverTakes) {
  TestConnection connection(harness_);
  const std::string head = Get("/good");
  connection.ClientAt(4, head.substr(4));
  connection.ClientAt(4, "/evil HTTP/1.1\r\n\r\n");
  connection.ClientAt(0, head.substr(0, 4));
  connection.Server(Ok("x"));
  EXPECT_THAT(DescribeAll(harness_.exchanges()),
              ElementsAre("GET /good -> 200 request=0 response=1 COMPLETE RETRANSMITTED "
                          "OVERLAP_CONFLICT REORDERED"));
}

TEST_F(PipelineTest, PendingRequestsAreBounded) {
  PipelineLimits limits;
  limits.max_pending_exchanges = 3;
  PipelineHarness harness(limits);
  TestConnection connection(harness);
  for (int i = 0; i < 1000; ++i) {
    connection.Client(Get("/" + std::to_string(i)));
  }
  EXPECT_EQ(harness.pipeline.open_exchanges(), 3u);
  for (int i = 0; i < 1000; ++i) {
    connection.Server(Ok("x"));
  }
  connection.Client(Get("/last"));
  connection.Server(Ok("x"));
  EXPECT_EQ(harness.exchanges().size(), 4u);
  EXPECT_EQ(harness.exchanges().back().request.target, "/last");
  EXPECT_EQ(harness.CheckLedger(), "");
}

TEST_F(PipelineTest, SegmentsThatStartNothingAreNotTracked) {
  ConnectionOptions options;
  options.midstream = true;
  TestConnection connection(harness_, options);
  connection.Client("{\"bytes\": \"of a body\"}");
  connection.ServerFin();
  EXPECT_EQ(harness_.pipeline.connections(), 0u);
  EXPECT_EQ(harness_.Count("unclaimed"), 2u);
}

TEST_F(PipelineTest, SegmentsBehindTheEndStartNothing) {
  TestConnection connection(harness_);
  connection.Client(Get("/a"));
  connection.Server(Ok("x"), {.fin = true});
  connection.ClientFin();
  connection.ClientAt(0, Get("/a"));
  EXPECT_EQ(harness_.Count("after_close"), 1u);
  EXPECT_EQ(harness_.exchanges().size(), 1u);
  EXPECT_THAT(harness_.feedback.forgotten, IsEmpty());
  harness_.Sleep(2 * kSecondNs);
  EXPECT_EQ(harness_.feedback.forgotten.size(), 1u);
}

}  // namespace
}  // namespace podtap
