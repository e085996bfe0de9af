#include "tests/support/segment_script.h"

#include <algorithm>
#include <span>

#include "common/text.h"

namespace podtap::testing {
namespace {

std::span<const uint8_t> Bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

struct Name {
  pairing::Flag flag;
  const char* name;
};

constexpr Name kFlags[] = {
    {pairing::Flag::kMidstream, "MIDSTREAM"},
    {pairing::Flag::kGap, "GAP"},
    {pairing::Flag::kHeadersTruncated, "HEADERS_TRUNCATED"},
    {pairing::Flag::kRetransmitted, "RETRANSMITTED"},
    {pairing::Flag::kOverlapConflict, "OVERLAP_CONFLICT"},
    {pairing::Flag::kPipelined, "PIPELINED"},
    {pairing::Flag::kReordered, "REORDERED"},
    {pairing::Flag::kAmbiguousFraming, "AMBIGUOUS_FRAMING"},
    {pairing::Flag::kFramingInferred, "FRAMING_INFERRED"},
};

const char* OutcomeName(pairing::Outcome outcome) {
  switch (outcome) {
    case pairing::Outcome::kComplete:
      return "COMPLETE";
    case pairing::Outcome::kNoResponse:
      return "NO_RESPONSE";
    case pairing::Outcome::kConnectionReset:
      return "CONNECTION_RESET";
    case pairing::Outcome::kConnectionClosed:
      return "CONNECTION_CLOSED";
    case pairing::Outcome::kTimeout:
      return "TIMEOUT";
    case pairing::Outcome::kUpgraded:
      return "UPGRADED";
    case pairing::Outcome::kTunnel:
      return "TUNNEL";
    case pairing::Outcome::kMalformed:
      return "MALFORMED";
  }
  return "?";
}

}  // namespace

size_t FeedbackRecorder::Count(capture::Verdict verdict) const {
  return std::count_if(posts.begin(), posts.end(),
                       [&](const auto& post) { return post.second.verdict == verdict; });
}

PipelineHarness::PipelineHarness(const PipelineLimits& limits)
    : pipeline(limits, sink, handshakes, feedback) {}

void PipelineHarness::Deliver(capture::Segment segment) {
  segment.time_ns = now_ns;
  pipeline.OnSegment(segment);
  now_ns += step_ns;
}

void PipelineHarness::Sleep(int64_t duration_ns) {
  constexpr int64_t kTickNs = 100'000'000;
  while (duration_ns > 0) {
    const int64_t step = std::min(duration_ns, kTickNs);
    now_ns += step;
    duration_ns -= step;
    pipeline.OnTick(now_ns);
  }
}

void PipelineHarness::Finish() { pipeline.Finish(now_ns); }

std::map<std::string, CounterValue> PipelineHarness::Counters() const {
  std::map<std::string, CounterValue> counters;
  pipeline.VisitCounters([&](const LedgerLine& line) {
    const CounterValue& value = line.value;
    counters[std::string(value.name)] = value;
  });
  return counters;
}

uint64_t PipelineHarness::Count(const std::string& name) const { return Counters().at(name).count; }

uint64_t PipelineHarness::Bytes(const std::string& name) const { return Counters().at(name).bytes; }

std::string PipelineHarness::CheckLedger() const {
  const auto counters = Counters();
  std::string problems;
  const auto sum_bytes = [&](std::initializer_list<const char*> names) {
    uint64_t sum = 0;
    for (const char* name : names) sum += counters.at(name).bytes;
    return sum;
  };
  const auto sum_counts = [&](std::initializer_list<const char*> names) {
    uint64_t sum = 0;
    for (const char* name : names) sum += counters.at(name).count;
    return sum;
  };
  const auto expect = [&](const char* what, uint64_t in, uint64_t out) {
    if (in != out) {
      problems +=
          std::string(what) + ": " + std::to_string(in) + " in, " + std::to_string(out) + " out\n";
    }
  };
  expect("reassembly bytes", sum_bytes({"segments"}),
         sum_bytes({"table_full", "unclaimed", "stale", "after_close", "opaque", "delivered",
                    "not_copied", "duplicate", "keepalive", "out_of_window", "after_end",
                    "discarded", "buffered"}));
  expect("http bytes", sum_bytes({"delivered", "not_copied", "gap_lost"}), sum_bytes({"read"}));
  expect("http kinds", sum_bytes({"read"}),
         sum_bytes({"head", "body", "blank", "unframed", "unsynced", "not_http"}));
  expect("tls handshakes", sum_counts({"tls_handshakes"}),
         sum_counts({"tls_1_1_or_older", "tls_1_2", "tls_1_3", "tls_version_unknown"}));
  expect("request heads", sum_counts({"request_heads"}),
         sum_counts({"exchanges_begun", "doubtful_requests", "pending_limit"}));
  expect("response heads", sum_counts({"response_heads"}),
         sum_counts({"responses_paired", "responses_informational", "orphan_responses"}));
  expect("exchanges", sum_counts({"exchanges_begun"}),
         sum_counts({"exchanges_sent", "midstream_unconfirmed", "open"}));
  expect("sink", sum_counts({"exchanges_sent"}), sink.exchanges.size());
  return problems;
}

TestConnection::TestConnection(PipelineHarness& harness, const ConnectionOptions& options)
    : harness_(&harness), options_(options) {}

capture::Segment TestConnection::Make(bool from_client, uint64_t offset) const {
  capture::Segment segment;
  const bool from_pod = from_client == options_.pod_is_client;
  segment.key.tap = options_.tap;
  segment.key.local = *IpAddress::Parse("10.0.0.1");
  segment.key.remote = *IpAddress::Parse("10.0.0.2");
  segment.key.local_port = options_.pod_is_client ? options_.client_port : 80;
  segment.key.remote_port = options_.pod_is_client ? 80 : options_.client_port;
  segment.key.opened_ns = options_.opened_ns;
  segment.direction = from_pod ? capture::Direction::kFromPod : capture::Direction::kToPod;
  const uint32_t isn = from_client ? options_.client_isn : options_.server_isn;
  segment.seq = isn + 1 + static_cast<uint32_t>(offset);
  if (!options_.midstream) {
    const auto client =
        options_.pod_is_client ? capture::Direction::kFromPod : capture::Direction::kToPod;
    segment.client = client;
    segment.initial_seq[static_cast<size_t>(client)] = options_.client_isn;
    segment.initial_seq[static_cast<size_t>(capture::Opposite(client))] = options_.server_isn;
  }
  return segment;
}

void TestConnection::At(bool from_client, uint64_t offset, std::string_view bytes,
                        SegmentOptions options) {
  capture::Segment segment = Make(from_client, offset);
  segment.wire_len = static_cast<uint32_t>(bytes.size());
  segment.head = Bytes(bytes);
  segment.fin = options.fin;
  segment.rst = options.rst;
  harness_->Deliver(segment);
}

void TestConnection::Client(std::string_view bytes, SegmentOptions options) {
  At(true, client_next_, bytes, options);
  client_next_ += bytes.size();
}

void TestConnection::Server(std::string_view bytes, SegmentOptions options) {
  At(false, server_next_, bytes, options);
  server_next_ += bytes.size();
}

void TestConnection::ClientAt(uint64_t offset, std::string_view bytes, SegmentOptions options) {
  At(true, offset, bytes, options);
}

void TestConnection::ServerAt(uint64_t offset, std::string_view bytes, SegmentOptions options) {
  At(false, offset, bytes, options);
}

void TestConnection::Coalesce(bool from_client, uint64_t size) {
  constexpr uint64_t kMost = uint64_t{1} << 30;
  uint64_t& next = from_client ? client_next_ : server_next_;
  while (size > 0) {
    const uint64_t part = std::min(size, kMost);
    capture::Segment segment = Make(from_client, next);
    segment.wire_len = static_cast<uint32_t>(part);
    segment.coalesced = true;
    harness_->Deliver(segment);
    next += part;
    size -= part;
  }
}

void TestConnection::Large(bool from_client, std::string_view head, uint64_t middle,
                           std::string_view tail) {
  uint64_t& next = from_client ? client_next_ : server_next_;
  capture::Segment segment = Make(from_client, next);
  segment.wire_len = static_cast<uint32_t>(head.size() + middle + tail.size());
  segment.head = Bytes(head);
  segment.tail = Bytes(tail);
  harness_->Deliver(segment);
  next += segment.wire_len;
}

void TestConnection::ServerLarge(std::string_view head, uint64_t middle, std::string_view tail) {
  Large(false, head, middle, tail);
}

void TestConnection::ClientLarge(std::string_view head, uint64_t middle, std::string_view tail) {
  Large(true, head, middle, tail);
}

std::string Describe(const pairing::Exchange& exchange, uint32_t ignored) {
  std::string text =
      exchange.request.method + " " + SafeTarget(exchange.request.target, 80) + " -> ";
  text += exchange.response ? std::to_string(exchange.response->head.status_code) : "none";
  text += " request=" + std::to_string(exchange.request_body_size);
  if (exchange.response) {
    text += " response=" + std::to_string(exchange.response->body_size);
  }
  text += std::string(" ") + OutcomeName(exchange.outcome);
  for (const Name& name : kFlags) {
    if ((exchange.flags & ~ignored & static_cast<uint32_t>(name.flag)) != 0) {
      text += std::string(" ") + name.name;
    }
  }
  const char* separator = " 1xx=";
  for (const uint16_t code : exchange.informational_status_codes) {
    text += separator + std::to_string(code);
    separator = ",";
  }
  if (!exchange.upgrade_protocol.empty()) {
    text += " upgrade=" + SafeText(exchange.upgrade_protocol);
  }
  return text;
}

std::vector<std::string> DescribeAll(const std::vector<pairing::Exchange>& exchanges,
                                     uint32_t ignored) {
  std::vector<std::string> all;
  all.reserve(exchanges.size());
  for (const pairing::Exchange& exchange : exchanges) {
    all.push_back(Describe(exchange, ignored));
  }
  return all;
}

}  // namespace podtap::testing
