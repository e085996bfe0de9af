#include "agent/pairing/pairer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <string_view>
#include <utility>

#include "agent/reassembly/piece.h"

namespace podtap::pairing {
namespace {

// 103 may repeat; nobody needs more.
constexpr size_t kMaxInformationalCodes = 16;
// A client that took turns with its server this often in a row waits for its responses.
constexpr uint32_t kTurnsOfProof = 4;
// Bounds the count; a connection this far behind never catches up.
constexpr uint32_t kMaxUnanswered = 1u << 20;

constexpr uint32_t Bit(Flag flag) { return static_cast<uint32_t>(flag); }

// Flags of messages and streams are passed on as they are.
static_assert(Bit(Flag::kGap) == Bit(http::MessageFlag::kGap));
static_assert(Bit(Flag::kHeadersTruncated) == Bit(http::MessageFlag::kHeadersTruncated));
static_assert(Bit(Flag::kAmbiguousFraming) == Bit(http::MessageFlag::kAmbiguousFraming));
static_assert(Bit(Flag::kFramingInferred) == Bit(http::MessageFlag::kFramingInferred));
static_assert(Bit(Flag::kRetransmitted) == Bit(reassembly::Mark::kRetransmitted));
static_assert(Bit(Flag::kOverlapConflict) == Bit(reassembly::Mark::kOverlapConflict));
static_assert(Bit(Flag::kReordered) == Bit(reassembly::Mark::kReordered));

// Takes eight bytes per step: heads have hundreds. Not for secrets.
class WordHash {
 public:
  void Add(uint64_t word) {
    hash_ = (hash_ ^ word) * 0x9e3779b97f4a7c15;
    hash_ ^= hash_ >> 32;
  }
  // In steps of eight bytes, lowest first on any machine; the last ones are filled up with zeros.
  void Add(std::string_view bytes) {
    for (; !bytes.empty(); bytes.remove_prefix(std::min(bytes.size(), sizeof(uint64_t)))) {
      uint64_t word = 0;
      std::memcpy(&word, bytes.data(), std::min(bytes.size(), sizeof(word)));
      Add(std::endian::native == std::endian::big ? __builtin_bswap64(word) : word);
    }
  }
  uint64_t hash() const { return hash_; }

 private:
  uint64_t hash_ = 0xcbf29ce484222325;
};

// Both reporters of an exchange, which may be agents of two nodes, must get the same.
uint64_t ExchangeKey(const http::RequestHead& head) {
  WordHash hash;
  const std::string_view fields = head.headers.raw();
  hash.Add(uint64_t{head.seq} << 32 | static_cast<uint32_t>(fields.size()));
  hash.Add(fields);
  return hash.hash();
}

std::string UpgradeProtocol(const Exchange& exchange) {
  std::optional<std::string_view> value = exchange.response->head.headers.Find("upgrade");
  if (!value) {
    value = exchange.request.headers.Find("upgrade");
  }
  return std::string(value.value_or(std::string_view()));
}

}  // namespace

bool Pairer::MayResync(bool responses_quiet) const {
  if (exact_) {
    return unanswered_ == 0;
  }
  return responses_quiet && !pipelining_seen_ && !AwaitsResponse() &&
         (unanswered_ == 0 || (responses_hidden_ && turns_ >= kTurnsOfProof));
}

void Pairer::EnterDoubt() {
  if (in_doubt_) {
    return;
  }
  ++counters_->doubts;
  in_doubt_ = true;
  exact_ = true;
  unanswered_ = 0;
  turns_ = 0;
  request_last_ = false;
  responses_hidden_ = false;
}

void Pairer::AddUnanswered(uint64_t count) {
  unanswered_ = static_cast<uint32_t>(std::min<uint64_t>(unanswered_ + count, kMaxUnanswered));
}

void Pairer::Refuse(uint64_t* counter) {
  ++*counter;
  AddUnanswered(1);
  if (request_last_) {
    turns_ = 0;
  }
  request_last_ = true;
  request_ = Reading::kRefused;
}

void Pairer::OnRequestHead(http::RequestHead head, uint64_t begin_position, uint32_t flags,
                           bool responses_quiet) {
  if (head.start_ns < last_orphan_ns_) {
    // Read late, because it waited behind a gap: that response may have been its own.
    EnterDoubt();
    exact_ = false;
    ++counters_->doubtful_requests;
    request_ = Reading::kRefused;
    return;
  }
  if (in_doubt_ && !MayResync(responses_quiet)) {
    Refuse(&counters_->doubtful_requests);
    return;
  }
  if (open_.size() >= max_open_) {
    EnterDoubt();
    Refuse(&counters_->refused_requests);
    return;
  }
  if (in_doubt_) {
    ++counters_->resyncs;
    in_doubt_ = false;
    if (!exact_) {
      // What was found is a request only if a response shows it; its start was not certain.
      confirmed_ = false;
      flags |= Bit(Flag::kGap);
    }
  }
  Begin(std::move(head), begin_position, flags);
}

void Pairer::Begin(http::RequestHead head, uint64_t begin_position, uint32_t flags) {
  Open& open = open_.emplace_back();
  Exchange& exchange = open.exchange;
  exchange.connection = connection_.key;
  exchange.pod_is_client = connection_.pod_is_client;
  exchange.connection_id = connection_.id;
  exchange.exchange_index = next_index_++;
  exchange.exchange_key = ExchangeKey(head);
  exchange.flags = flags | (connection_.midstream ? Bit(Flag::kMidstream) : 0);
  exchange.request_end_ns = head.start_ns;
  if (head.start_ns < last_response_end_ns_) {
    // Read late, because it waited behind a gap.
    exchange.flags |= Bit(Flag::kPipelined);
    pipelining_seen_ = true;
  }
  open.request_position = begin_position;
  open.request_end = begin_position + head.size;
  exchange.request = std::move(head);
  request_ = Reading::kExchange;
  ++counters_->exchanges_begun;
  sink_->OnBegin(connection_.key.tap);
}

void Pairer::OnRequestEnd(const http::MessageEnd& end) {
  if (std::exchange(request_, Reading::kNothing) != Reading::kExchange) {
    return;
  }
  Open& open = open_.back();
  open.request_ended = end.complete;
  open.request_end = end.begin_position + end.head_size + end.body_size;
  open.exchange.request.size = end.head_size;
  open.exchange.request_body_size = end.body_size;
  open.exchange.request_end_ns = end.end_ns;
  open.exchange.flags |= end.flags;
  SendFinished();
}

void Pairer::OnRequestDoubt() {
  EnterDoubt();
  exact_ = false;
  AddUnanswered(1);
  request_last_ = true;
  turns_ = 0;
}

Pairer::Match Pairer::OnResponseHead(http::ResponseHead head, uint64_t begin_position,
                                     uint32_t flags) {
  const uint16_t status = head.status_code;
  const bool informational = status < 200 && status != 101;
  Match match;
  // No response begins before its request does.
  match.paired = AwaitsResponse() && head.start_ns >= open_.front().exchange.request.start_ns;
  if (!match.paired) {
    ++(informational ? counters_->informational_responses : counters_->orphan_responses);
    response_ = informational ? Reading::kInformational : Reading::kOrphan;
    last_orphan_ns_ = head.start_ns;
    match.switches_protocol = status == 101;
    return match;
  }
  Exchange& exchange = open_.front().exchange;
  exchange.flags |= flags;
  match.method = http::ClassifyMethod(exchange.request.method);
  confirmed_ = true;
  if (informational) {
    ++counters_->informational_responses;
    response_ = Reading::kInformational;
    if (exchange.informational_status_codes.size() < kMaxInformationalCodes) {
      exchange.informational_status_codes.push_back(status);
    } else {
      ++counters_->informational_codes_dropped;
    }
    return match;
  }
  ++counters_->paired_responses;
  response_ = Reading::kExchange;
  open_.front().response_position = begin_position;
  exchange.end_ns = head.start_ns;
  exchange.response = ExchangeResponse{std::move(head), 0};
  const bool tunnel =
      match.method == http::RequestMethod::kConnect && status >= 200 && status < 300;
  match.switches_protocol = status == 101 || tunnel;
  return match;
}

void Pairer::OnResponseEnd(const http::MessageEnd& end) {
  switch (std::exchange(response_, Reading::kNothing)) {
    case Reading::kExchange:
      OnFinalEnd(end);
      return;
    case Reading::kOrphan:
      OnOrphanEnd();
      return;
    case Reading::kInformational:
      if (AwaitsResponse()) {
        open_.front().exchange.flags |= end.flags;
      }
      return;
    case Reading::kNothing:
    case Reading::kRefused:
      return;
  }
}

void Pairer::OnOrphanEnd() {
  if (!in_doubt_) {
    return;
  }
  unanswered_ -= unanswered_ > 0 ? 1 : 0;
  turns_ += request_last_ ? 1 : 0;
  request_last_ = false;
}

void Pairer::OnFinalEnd(const http::MessageEnd& end) {
  Open& open = open_.front();
  Exchange& exchange = open.exchange;
  exchange.flags |= end.flags;
  exchange.response->head.size = end.head_size;
  exchange.response->body_size = end.body_size;
  exchange.end_ns = end.end_ns;
  open.response_ended = end.complete;
  last_response_end_ns_ = end.end_ns;
  if (!end.complete) {
    return;
  }
  const auto next = std::next(open_.begin());
  if (exchange.response->head.status_code == 101) {
    exchange.upgrade_protocol = UpgradeProtocol(exchange);
    Send(open_.begin(), Outcome::kUpgraded);
    return;
  }
  if (http::ClassifyMethod(exchange.request.method) == http::RequestMethod::kConnect &&
      exchange.response->head.status_code < 300) {
    Send(open_.begin(), Outcome::kTunnel);
    return;
  }
  if (next != open_.end() && next->exchange.request.start_ns < end.end_ns) {
    next->exchange.flags |= Bit(Flag::kPipelined);
    pipelining_seen_ = true;
    if ((end.flags & Bit(Flag::kFramingInferred)) != 0) {
      // Where this response was guessed to end, the next one may have ended.
      EnterDoubt();
      exact_ = false;
      AddUnanswered(Abandon(next, end.end_ns));
    }
  }
  SendFinished();
}

void Pairer::SendFinished() {
  while (!open_.empty() && open_.front().request_ended && open_.front().response_ended) {
    Send(open_.begin(), Outcome::kComplete);
  }
}

uint64_t Pairer::Abandon(std::list<Open>::iterator first, int64_t now_ns) {
  uint64_t count = 0;
  while (first != open_.end()) {
    const auto it = first++;
    it->exchange.flags |= Bit(Flag::kGap);
    it->exchange.end_ns = now_ns;
    Send(it, Outcome::kNoResponse);
    ++count;
  }
  return count;
}

void Pairer::OnResponseDoubt(int64_t now_ns) {
  OnResponsesUnseen(now_ns);
  // One of them, at least, was answered in the hole.
  unanswered_ -= unanswered_ > 0 ? 1 : 0;
}

void Pairer::OnResponsesUnseen(int64_t now_ns) {
  auto first = open_.begin();
  if (first != open_.end() && first->response_ended) {
    ++first;
  }
  const uint64_t count = Abandon(first, now_ns);
  EnterDoubt();
  exact_ = false;
  responses_hidden_ = true;
  AddUnanswered(count);
  turns_ = 0;
  request_last_ = false;
}

void Pairer::OnMalformedResponse(int64_t now_ns) {
  if (!AwaitsResponse()) {
    return;
  }
  open_.front().exchange.end_ns = now_ns;
  Send(open_.begin(), Outcome::kMalformed);
}

void Pairer::End(EndReason reason, int64_t now_ns, bool response_begun) {
  bool earlier_ended = true;
  while (!open_.empty()) {
    Open& open = open_.front();
    if (!open.exchange.response) {
      open.exchange.end_ns = now_ns;
    }
    if (!std::exchange(earlier_ended, open.response_ended)) {
      open.exchange.flags |= Bit(Flag::kPipelined);
    }
    Outcome outcome = Outcome::kNoResponse;
    switch (reason) {
      case EndReason::kReset:
        outcome = Outcome::kConnectionReset;
        break;
      case EndReason::kTimeout:
        outcome = Outcome::kTimeout;
        break;
      case EndReason::kClosed:
        if (open.exchange.response || response_begun || !open.request_ended) {
          outcome = Outcome::kConnectionClosed;
        }
        break;
    }
    response_begun = false;
    Send(open_.begin(), outcome);
  }
  request_ = Reading::kNothing;
  response_ = Reading::kNothing;
}

void Pairer::Send(std::list<Open>::iterator it, Outcome outcome) {
  // The newest one's request may still be read; its end then belongs to no exchange.
  if (request_ == Reading::kExchange && std::next(it) == open_.end()) {
    request_ = Reading::kRefused;
  }
  Exchange& exchange = it->exchange;
  exchange.outcome = outcome;
  if (!exchange.response && !confirmed_) {
    ++counters_->unconfirmed;
    sink_->OnUnconfirmed(connection_.key.tap);
  } else {
    ++counters_->exchanges_sent;
    sink_->OnExchange(std::move(exchange));
  }
  open_.erase(it);
}

void Pairer::MarkRequest(uint64_t position, uint64_t size, uint32_t marks) {
  for (Open& open : open_) {
    if (position < open.request_end && position + size > open.request_position) {
      open.exchange.flags |= marks;
    }
  }
}

void Pairer::MarkResponse(uint64_t position, uint64_t size, uint32_t marks) {
  if (open_.empty() || !open_.front().exchange.response) {
    return;
  }
  if (position + size > open_.front().response_position) {
    open_.front().exchange.flags |= marks;
  }
}

}  // namespace podtap::pairing
