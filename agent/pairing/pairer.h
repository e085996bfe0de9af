// Requests and responses of one connection -> exchanges (RFC 9112 section 9.3: responses come in
// the order of the requests).
//
// Nothing is paired by guess. When a hole may have hidden requests or responses, the connection is
// in doubt: requests are refused and responses are orphans until the two directions are known to
// be in step again, which takes a client that waits for its responses.
#pragma once

#include <cstdint>
#include <list>

#include "agent/http/message.h"
#include "agent/pairing/exchange.h"

namespace podtap::pairing {

// Of all connections of a shard. Heads obey
//   http.request_heads = exchanges_begun + doubtful_requests + refused_requests
//   http.response_heads = paired_responses + informational_responses + orphan_responses
//   exchanges_begun = exchanges_sent + unconfirmed + open.
struct PairingCounters {
  uint64_t exchanges_begun = 0;
  uint64_t exchanges_sent = 0;
  // Guessed to be requests (picked up in the middle) and never answered in HTTP: not sent.
  uint64_t unconfirmed = 0;
  // Seen while the connection was in doubt, or found to be over.
  uint64_t doubtful_requests = 0;
  // Too many waited for their responses.
  uint64_t refused_requests = 0;
  uint64_t paired_responses = 0;
  // 1xx, except 101.
  uint64_t informational_responses = 0;
  // Without a request.
  uint64_t orphan_responses = 0;
  // Codes of 1xx beyond those an exchange keeps.
  uint64_t informational_codes_dropped = 0;
  // Times a connection came into doubt, and out of it.
  uint64_t doubts = 0;
  uint64_t resyncs = 0;

  uint64_t open() const { return exchanges_begun - exchanges_sent - unconfirmed; }
};

// Why a connection is over.
enum class EndReason : uint8_t {
  // FIN, or nobody looks any more.
  kClosed,
  kReset,
  kTimeout,
};

// What does not change during a connection.
struct Connection {
  capture::ConnectionKey key;
  bool pod_is_client = false;
  bool midstream = false;
  uint64_t id = 0;
};

// Not thread-safe. Messages of one direction come in order: head, then end.
class Pairer {
 public:
  // What a response's reader has to know.
  struct Match {
    http::RequestMethod method = http::RequestMethod::kUnknown;
    // Paired, or 1xx of an exchange.
    bool paired = false;
    // The connection speaks another protocol from here on.
    bool switches_protocol = false;
  };

  // `counters` and `sink` are borrowed.
  Pairer(const Connection& connection, uint32_t max_open, PairingCounters& counters,
         ExchangeSink& sink)
      : connection_(connection),
        max_open_(max_open),
        confirmed_(!connection.midstream),
        counters_(&counters),
        sink_(&sink) {}

  // `begin_position` is the head's place in its stream. `responses_quiet`: no response is being
  // read just now.
  void OnRequestHead(http::RequestHead head, uint64_t begin_position, uint32_t flags,
                     bool responses_quiet);
  // Of a connection that was found to be over while the head was read: its response, if there is
  // one, will not be read.
  void OnLateRequestHead() { ++counters_->doubtful_requests; }
  void OnRequestEnd(const http::MessageEnd& end);
  // At least one request was hidden, by a hole or by lost framing.
  void OnRequestDoubt();

  Match OnResponseHead(http::ResponseHead head, uint64_t begin_position, uint32_t flags);
  void OnResponseEnd(const http::MessageEnd& end);
  // A hole hid at least one response.
  void OnResponseDoubt(int64_t now_ns);
  // The client goes on while heads of responses are only looked for: whether the open exchanges
  // were answered can't be told.
  void OnResponsesUnseen(int64_t now_ns);
  // Where a response had to start came something else. No call but End() follows.
  void OnMalformedResponse(int64_t now_ns);

  // The connection is over. `response_begun`: some bytes of a response's first line were seen.
  void End(EndReason reason, int64_t now_ns, bool response_begun);

  // A range of a stream was sent again.
  void MarkRequest(uint64_t position, uint64_t size, uint32_t marks);
  void MarkResponse(uint64_t position, uint64_t size, uint32_t marks);

  bool AwaitsResponse() const { return !open_.empty() && !open_.front().response_ended; }
  bool empty() const { return open_.empty(); }
  bool confirmed() const { return confirmed_; }
  // The client has been seen to send requests before it had its responses.
  bool pipelining_seen() const { return pipelining_seen_; }
  // The response being read answers a request that nobody saw.
  bool in_orphan_response() const { return response_ == Reading::kOrphan; }

 private:
  enum class Reading : uint8_t { kNothing, kExchange, kInformational, kOrphan, kRefused };
  struct Open {
    Exchange exchange;
    uint64_t request_position = 0;
    uint64_t request_end = 0;
    uint64_t response_position = 0;
    bool request_ended = false;
    bool response_ended = false;
  };

  bool MayResync(bool responses_quiet) const;
  void Refuse(uint64_t* counter);
  void EnterDoubt();
  void AddUnanswered(uint64_t count);
  void Begin(http::RequestHead head, uint64_t begin_position, uint32_t flags);
  // Sends open exchanges from `first` on: their responses can't be told any more.
  uint64_t Abandon(std::list<Open>::iterator first, int64_t now_ns);
  void OnOrphanEnd();
  void OnFinalEnd(const http::MessageEnd& end);
  void SendFinished();
  void Send(std::list<Open>::iterator it, Outcome outcome);

  const Connection connection_;
  const uint32_t max_open_;
  uint32_t next_index_ = 0;
  bool confirmed_;
  bool pipelining_seen_ = false;
  int64_t last_response_end_ns_ = 0;
  // Start of the last response that found no request.
  int64_t last_orphan_ns_ = 0;
  Reading request_ = Reading::kNothing;
  Reading response_ = Reading::kNothing;
  // In doubt: how many requests that are not in open_ wait for a response, as far as known.
  bool in_doubt_ = false;
  // That number is exact.
  bool exact_ = false;
  uint32_t unanswered_ = 0;
  // Requests and responses that took turns while in doubt.
  uint32_t turns_ = 0;
  // Responses may have come unseen, so that `unanswered_` may be too high.
  bool responses_hidden_ = false;
  bool request_last_ = false;
  PairingCounters* counters_;
  ExchangeSink* sink_;
  std::list<Open> open_;
};

}  // namespace podtap::pairing
