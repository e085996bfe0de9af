// User space of the agent, from segments to sealed batches, without a kernel: what one exchange
// costs in reassembly, parsing, pairing, naming and encoding.
//
// For profiles and for comparing two builds; absolute times say little. Under valgrind the count of
// instructions hardly depends on what else the machine does:
//
//   valgrind --tool=callgrind build/bin/pipeline_bench --benchmark_filter=LeanExchanges/
#include <benchmark/benchmark.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "agent/enrichment/address_book.h"
#include "agent/enrichment/enricher.h"
#include "agent/enrichment/tap_directory.h"
#include "agent/exporter/event_log.h"
#include "agent/pipeline.h"

namespace podtap {
namespace {

constexpr int kConnections = 32;
constexpr capture::TapId kTap{1, 1};

class FixedClock : public Clock {
 public:
  int64_t MonotonicNs() const override { return now_ns; }
  int64_t WallNs() const override { return now_ns + int64_t{1'700'000'000} * 1'000'000'000; }
  int64_t now_ns = 1'000'000'000;
};

class NoHandshakes : public tls::HandshakeSink {
 public:
  void OnHandshake(const capture::TapId&, bool, tls::Handshake) override {}
};

class NoFeedback : public capture::FeedbackSink {
 public:
  void OnFeedback(const capture::ConnectionKey&, const capture::Feedback&) override {}
  void OnForgotten(const capture::ConnectionKey&) override {}
};

class NoEvents : public enrichment::EventSink {
 public:
  void OnEvent(const enrichment::Event&) override {}
};

// A load generator's requests, and what a web server answers.
std::vector<std::string> LeanRequests() {
  return {"GET /index.html HTTP/1.1\r\nHost: 10.0.0.2\r\n\r\n"};
}
std::string LeanResponse() {
  return "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
         "Content-Type: text/html\r\nContent-Length: 20\r\nLast-Modified: Sun, 06 Nov 1994 "
         "08:49:37 GMT\r\nConnection: keep-alive\r\nETag: \"6734ab11-14\"\r\n"
         "Accept-Ranges: bytes\r\n\r\nhello from the web!\n";
}

// A service behind a gateway: queries, identifiers, a trace.
std::vector<std::string> RichRequests() {
  std::vector<std::string> requests;
  for (int i = 0; i < 256; ++i) {
    const std::string id = std::to_string(1'000'000 + i * 7919);
    requests.push_back(
        "GET /api/v2/customers/" + id + "/orders?limit=20&cursor=" + id +
        "&expand=lines HTTP/1.1\r\nHost: orders.shop.svc.cluster.local:8080\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/115.0\r\n"
        "Accept: application/json, text/plain, */*\r\nAccept-Encoding: gzip, deflate, br\r\n"
        "Authorization: Bearer " +
        id + "abcdefghijklmnopqrstuvwxyz0123456789\r\nX-Request-Id: 0f8fad5b-d9cb-469f-a165-" + id +
        "\r\nX-Forwarded-For: 203.0.113.7\r\nCookie: session=" + id +
        "; theme=dark\r\ntraceparent: 00-0af7651916cd43dd8448eb2" + id +
        "2-b7ad6b7169203331-01\r\nConnection: keep-alive\r\n\r\n");
  }
  return requests;
}
std::string RichResponse() {
  return "HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n"
         "Content-Length: 800\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nCache-Control: "
         "no-store\r\nX-Request-Id: 0f8fad5b-d9cb-469f-a165-70867728950e\r\nServer: "
         "orders/3.1\r\nVary: Accept-Encoding\r\n\r\n" +
         std::string(800, 'x');
}

// The stages as a shard puts them together, behind one tap.
class Stages {
 public:
  explicit Stages(bool with_log)
      : log_({.origin = {.node_name = "node", .cluster_name = "", .epoch = 1}}, clock_),
        taps_(directory_),
        book_(directory_),
        enricher_({}, clock_, taps_, book_,
                  {with_log ? static_cast<enrichment::EventSink*>(&log_) : &no_events_}),
        pipeline_({}, enricher_, no_handshakes_, no_feedback_) {
    auto pod = std::make_shared<discovery::PodIdentity>();
    pod->namespace_name = "shop";
    pod->pod_name = "orders-1";
    auto tap = std::make_shared<enrichment::TapInfo>();
    tap->id = kTap;
    tap->interface_index = 7;
    tap->interface_name = "veth7";
    tap->pod = std::move(pod);
    directory_.Publish(std::move(tap));
    book_.Learn(kTap, local_);
    std::fill_n(client_seq_, kConnections, 1'001);
    std::fill_n(server_seq_, kConnections, 5'001);
  }

  void Exchange(int connection, std::string_view request, std::string_view response) {
    Send(connection, capture::Direction::kToPod, request, client_seq_[connection]);
    Send(connection, capture::Direction::kFromPod, response, server_seq_[connection]);
  }

  // As the collector's acknowledgements do.
  void Trim() {
    while (const std::optional<exporter::LogItem> item = log_.Take(log_.acked_sequence())) {
      log_.Acknowledge(item->last_sequence);
    }
  }

 private:
  void Send(int connection, capture::Direction direction, std::string_view bytes, uint32_t& seq) {
    capture::Segment segment;
    segment.key.tap = kTap;
    segment.key.local = local_;
    segment.key.remote = remote_;
    segment.key.local_port = 8080;
    segment.key.remote_port = static_cast<uint16_t>(40'000 + connection);
    segment.key.opened_ns = 5;
    segment.direction = direction;
    segment.time_ns = clock_.now_ns += 10'000;
    segment.seq = seq;
    segment.wire_len = static_cast<uint32_t>(bytes.size());
    segment.head = {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
    segment.client = capture::Direction::kToPod;
    segment.initial_seq[0] = 5'000;
    segment.initial_seq[1] = 1'000;
    seq += segment.wire_len;
    pipeline_.OnSegment(segment);
  }

  const IpAddress local_ = *IpAddress::Parse("10.0.0.2");
  const IpAddress remote_ = *IpAddress::Parse("10.0.0.1");
  FixedClock clock_;
  exporter::EventLog log_;
  NoEvents no_events_;
  NoHandshakes no_handshakes_;
  NoFeedback no_feedback_;
  enrichment::TapDirectory directory_;
  enrichment::TapReader taps_;
  enrichment::AddressBook book_;
  enrichment::Enricher enricher_;
  Pipeline pipeline_;
  uint32_t client_seq_[kConnections];
  uint32_t server_seq_[kConnections];
};

// One iteration is one exchange; the connections take turns.
void Run(benchmark::State& state, const std::vector<std::string>& requests,
         const std::string& response, bool with_log) {
  Stages stages(with_log);
  size_t number = 0;
  for (auto _ : state) {
    const int connection = static_cast<int>(number % kConnections);
    stages.Exchange(connection, requests[number % requests.size()], response);
    if (++number % 1'000 == 0) {
      stages.Trim();
    }
  }
  state.SetItemsProcessed(static_cast<int64_t>(state.iterations()));
}

void LeanExchanges(benchmark::State& state) { Run(state, LeanRequests(), LeanResponse(), true); }
void LeanExchangesWithoutLog(benchmark::State& state) {
  Run(state, LeanRequests(), LeanResponse(), false);
}
void RichExchanges(benchmark::State& state) { Run(state, RichRequests(), RichResponse(), true); }
void RichExchangesWithoutLog(benchmark::State& state) {
  Run(state, RichRequests(), RichResponse(), false);
}

// A fixed number, so that instructions can be divided by it.
constexpr int kExchanges = 100'000;
BENCHMARK(LeanExchanges)->Iterations(kExchanges);
BENCHMARK(LeanExchangesWithoutLog)->Iterations(kExchanges);
BENCHMARK(RichExchanges)->Iterations(kExchanges);
BENCHMARK(RichExchangesWithoutLog)->Iterations(kExchanges);

}  // namespace
}  // namespace podtap
