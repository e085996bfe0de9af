#include "agent/pairing/pairer.h"

#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podtap::pairing {
namespace {

using ::testing::ElementsAre;

class PairerTest : public ::testing::Test, public ExchangeSink {
 protected:
  void OnExchange(Exchange exchange) override {
    std::string text =
        exchange.request.target + ":" +
        (exchange.response ? std::to_string(exchange.response->head.status_code) : "none") + ":" +
        std::to_string(static_cast<int>(exchange.outcome));
    if (Has(exchange, Flag::kGap)) text += " gap";
    if (Has(exchange, Flag::kPipelined)) text += " pipelined";
    sent_.push_back(text);
    exchanges_.push_back(std::move(exchange));
  }
  static bool Has(const Exchange& exchange, Flag flag) {
    return (exchange.flags & static_cast<uint32_t>(flag)) != 0;
  }

  void Request(const std::string& target, const std::string& method = "GET", bool quiet = true) {
    http::RequestHead head;
    head.method = method;
    head.target = target;
    head.start_ns = ++now_ns_;
    pairer_.OnRequestHead(std::move(head), 0, 0, quiet);
    http::MessageEnd end;
    end.end_ns = now_ns_;
    end.complete = true;
    pairer_.OnRequestEnd(end);
  }
  Pairer::Match Response(uint16_t status, uint32_t flags = 0) {
    http::ResponseHead head;
    head.status_code = status;
    head.start_ns = ++now_ns_;
    const Pairer::Match match = pairer_.OnResponseHead(std::move(head), 0, 0);
    http::MessageEnd end;
    end.end_ns = now_ns_;
    end.flags = flags;
    end.complete = true;
    pairer_.OnResponseEnd(end);
    return match;
  }

  void ExpectLedger(uint64_t request_heads, uint64_t response_heads) {
    EXPECT_EQ(counters_.exchanges_begun + counters_.doubtful_requests + counters_.refused_requests,
              request_heads);
    EXPECT_EQ(
        counters_.paired_responses + counters_.informational_responses + counters_.orphan_responses,
        response_heads);
    EXPECT_EQ(counters_.exchanges_sent, sent_.size());
  }

  PairingCounters counters_;
  Connection connection_;
  Pairer pairer_{connection_, 4, counters_, *this};
  int64_t now_ns_ = 0;
  std::vector<std::string> sent_;
  std::vector<Exchange> exchanges_;
};

TEST_F(PairerTest, FirstInFirstOut) {
  Request("/a");
  Request("/b");
  Response(200);
  Request("/c");
  Response(404);
  Response(500);
  EXPECT_THAT(sent_, ElementsAre("/a:200:1", "/b:404:1 pipelined", "/c:500:1 pipelined"));
  EXPECT_EQ(exchanges_[2].exchange_index, 2u);
  ExpectLedger(3, 3);
}

TEST_F(PairerTest, ResponsesOlderThanTheirRequestAreNobodys) {
  now_ns_ = 10;
  Request("/a");
  now_ns_ = 5;
  EXPECT_FALSE(Response(200).paired);
  now_ns_ = 20;
  EXPECT_TRUE(Response(201).paired);
  EXPECT_THAT(sent_, ElementsAre("/a:201:1"));
  ExpectLedger(1, 2);
}

TEST_F(PairerTest, HiddenRequestKeepsLaterOnesFromPairing) {
  Request("/a");
  Response(200);
  pairer_.OnRequestDoubt();
  Request("/b");
  Response(201);  // of the hidden one
  Response(202);  // of /b
  Request("/c");
  Response(203);
  EXPECT_THAT(sent_, ElementsAre("/a:200:1", "/c:203:1 gap"));
  EXPECT_EQ(counters_.doubtful_requests, 1u);
  EXPECT_EQ(counters_.orphan_responses, 2u);
  ExpectLedger(3, 4);
}

TEST_F(PairerTest, HiddenResponseAbandonsWhatIsOpen) {
  Request("/a");
  pairer_.OnResponseDoubt(++now_ns_);
  Request("/b");
  Response(200);
  EXPECT_THAT(sent_, ElementsAre("/a:none:2 gap", "/b:200:1 gap"));
}

TEST_F(PairerTest, NothingIsPairedAfterADoubtOnAPipeliningConnection) {
  Request("/a");
  Request("/b");
  Response(200);
  Response(200);
  pairer_.OnRequestDoubt();
  Response(200);
  Request("/c");
  Response(201);
  EXPECT_THAT(sent_, ElementsAre("/a:200:1", "/b:200:1 pipelined"));
  EXPECT_EQ(counters_.doubtful_requests, 1u);
}

TEST_F(PairerTest, DoubtWaitsForQuietResponses) {
  pairer_.OnRequestDoubt();
  Response(200);
  Request("/b", "GET", false);
  EXPECT_EQ(counters_.doubtful_requests, 1u);
  Response(200);
  Request("/c");
  Response(200);
  EXPECT_THAT(sent_, ElementsAre("/c:200:1 gap"));
}

TEST_F(PairerTest, TakingTurnsEndsADoubtWhenResponsesWereHidden) {
  Request("/a");
  Request("/b");
  Request("/c");
  pairer_.OnResponseDoubt(++now_ns_);
  for (int i = 0; i < 4; ++i) {
    Request("/turn");
    Response(200);
  }
  EXPECT_EQ(counters_.doubtful_requests, 4u);
  Request("/d");
  Response(201);
  EXPECT_EQ(sent_.back(), "/d:201:1 gap");
}

TEST_F(PairerTest, TooManyOpenRequestsAreRefusedAndCaughtUpExactly) {
  for (int i = 0; i < 6; ++i) {
    Request("/" + std::to_string(i));
  }
  EXPECT_EQ(counters_.refused_requests, 1u);
  EXPECT_EQ(counters_.doubtful_requests, 1u);
  for (int i = 0; i < 6; ++i) {
    Response(static_cast<uint16_t>(200 + i));
  }
  Request("/next");
  Response(299);
  EXPECT_EQ(sent_.size(), 5u);
  EXPECT_EQ(sent_[3], "/3:203:1 pipelined");
  EXPECT_EQ(sent_[4], "/next:299:1");
  EXPECT_EQ(counters_.orphan_responses, 2u);
  ExpectLedger(7, 7);
}

TEST_F(PairerTest, InformationalCodesAreBounded) {
  Request("/a");
  for (int i = 0; i < 20; ++i) {
    Response(103);
  }
  Response(200);
  EXPECT_EQ(exchanges_.at(0).informational_status_codes.size(), 16u);
  EXPECT_EQ(counters_.informational_codes_dropped, 4u);
  ExpectLedger(1, 21);
}

TEST_F(PairerTest, SwitchesProtocol) {
  Request("/ws");
  EXPECT_TRUE(Response(101).switches_protocol);
  Request("h:1", "CONNECT");
  EXPECT_TRUE(Response(200).switches_protocol);
  Request("h:2", "CONNECT");
  EXPECT_FALSE(Response(502).switches_protocol);
  EXPECT_THAT(sent_, ElementsAre("/ws:101:6", "h:1:200:7", "h:2:502:1"));
}

// The response switches the protocol before the request has been read to its end.
TEST_F(PairerTest, RequestThatEndsBehindItsExchangeBelongsToNothing) {
  for (const auto& [method, status] : {std::pair("CONNECT", 200), std::pair("GET", 101)}) {
    http::RequestHead head;
    head.method = method;
    head.target = "/early";
    head.start_ns = ++now_ns_;
    pairer_.OnRequestHead(std::move(head), 0, 0, true);
    Response(static_cast<uint16_t>(status));
    http::MessageEnd end;
    end.end_ns = ++now_ns_;
    end.body_size = 77;
    pairer_.OnRequestEnd(end);
    EXPECT_TRUE(pairer_.empty());
  }
  ASSERT_EQ(exchanges_.size(), 2u);
  EXPECT_EQ(exchanges_[0].outcome, Outcome::kTunnel);
  EXPECT_EQ(exchanges_[1].outcome, Outcome::kUpgraded);
  ExpectLedger(2, 2);
}

TEST_F(PairerTest, InferredEndOverAPipelinedRequestIsADoubt) {
  Request("/a");
  Request("/b");
  Response(200, static_cast<uint32_t>(Flag::kFramingInferred));
  EXPECT_THAT(sent_, ElementsAre("/b:none:2 gap pipelined", "/a:200:1"));
}

TEST_F(PairerTest, EndsByReason) {
  Request("/a");
  Request("/b");
  pairer_.End(EndReason::kTimeout, ++now_ns_, false);
  Request("/c");
  pairer_.End(EndReason::kReset, ++now_ns_, false);
  Request("/d");
  pairer_.End(EndReason::kClosed, ++now_ns_, true);
  Request("/e");
  pairer_.End(EndReason::kClosed, ++now_ns_, false);
  EXPECT_THAT(sent_, ElementsAre("/a:none:5", "/b:none:5 pipelined", "/c:none:3", "/d:none:4",
                                 "/e:none:2"));
  EXPECT_EQ(counters_.open(), 0u);
}

// Agents of different nodes must agree: a change here is one of the wire.
TEST_F(PairerTest, ExchangeKeyHashesSequenceNumberAndHead) {
  http::RequestHead head;
  head.seq = 0x01020304;
  head.headers = http::HeaderMap("abcdefghij");
  pairer_.OnRequestHead(std::move(head), 0, 0, true);
  pairer_.End(EndReason::kClosed, 1, false);
  uint64_t hash = 0xcbf29ce484222325;
  // Number and length; eight bytes; the other two.
  for (const uint64_t word : {0x010203040000000aULL, 0x6867666564636261ULL, 0x6a69ULL}) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 32;
  }
  EXPECT_EQ(exchanges_.at(0).exchange_key, hash);
}

TEST_F(PairerTest, ExchangeKeyTellsHeadsApart) {
  const std::string head(23, 'x');
  std::vector<std::string> heads = {"", std::string(1, '\0'), head};
  for (size_t i = 0; i < head.size(); ++i) {
    heads.push_back(head);
    heads.back()[i] = 'y';
    heads.push_back(head.substr(0, i + 1) + std::string(head.size() - i - 1, '\0'));
  }
  heads.pop_back();
  std::set<uint64_t> keys;
  for (const std::string& fields : heads) {
    http::RequestHead request;
    request.headers = http::HeaderMap(fields);
    pairer_.OnRequestHead(std::move(request), 0, 0, true);
    pairer_.End(EndReason::kClosed, 1, false);
    keys.insert(exchanges_.back().exchange_key);
  }
  EXPECT_EQ(keys.size(), heads.size());
}

}  // namespace
}  // namespace podtap::pairing
