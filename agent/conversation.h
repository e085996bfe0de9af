// One connection: both byte streams, their readers and the pairing, wired together.
//
// The two directions are read independently, and each helps the other where a hole leaves a choice:
// a response proves that its request reached the server, so a hole before it will not be filled; a
// client that goes on has had its response.
#pragma once

#include <cstdint>
#include <memory>

#include "agent/capture/feedback.h"
#include "agent/capture/segment.h"
#include "agent/http/message_reader.h"
#include "agent/pairing/pairer.h"
#include "agent/pipeline.h"
#include "agent/reassembly/byte_stream.h"
#include "agent/tls/handshake_reader.h"

namespace podtap {

// What all connections of a shard share. Borrowed by each.
struct ShardContext {
  ShardContext(const PipelineLimits& pipeline_limits, pairing::ExchangeSink& exchange_sink,
               tls::HandshakeSink& handshake_sink, capture::FeedbackSink& feedback_sink)
      : limits(pipeline_limits),
        head_limits{pipeline_limits.max_head_bytes, pipeline_limits.max_headers},
        exchanges(exchange_sink),
        handshakes(handshake_sink),
        feedback(feedback_sink) {
    budget.limit_bytes = pipeline_limits.max_reordered_bytes;
  }

  const PipelineLimits limits;
  const http::HeadLimits head_limits;
  pairing::ExchangeSink& exchanges;
  tls::HandshakeSink& handshakes;
  capture::FeedbackSink& feedback;
  reassembly::ReorderBudget budget;
  reassembly::StreamCounters stream_counters;
  http::ReaderCounters reader_counters;
  pairing::PairingCounters pairing_counters;
  tls::HandshakeCounters handshake_counters;
  // RST segments that can't be their sender's.
  uint64_t ignored_resets = 0;
};

// Not thread-safe.
class Conversation {
 public:
  enum class Status : uint8_t {
    kOpen,
    // Ended by both FINs or a RST; every exchange has been sent.
    kOver,
    // Not HTTP, or not any more; every exchange, or what TLS told, has been sent.
    kOpaque,
    // Picked up in the middle, at something that is no HTTP.
    kRefused,
  };

  // `connection.pod_is_client` says who is the client; `first` carries initial sequence numbers.
  Conversation(const pairing::Connection& connection, const capture::Segment& first,
               ShardContext& shard);

  Status OnSegment(const capture::Segment& segment);
  // Gives up gaps that have waited for too long.
  Status OnTick(int64_t now_ns);
  // The connection is over for another reason than its own FINs and RSTs.
  void End(pairing::EndReason reason, int64_t now_ns);

  bool HasGap() const { return streams_[0].HasGap() || streams_[1].HasGap(); }

 private:
  using Direction = capture::Direction;
  static constexpr size_t Index(Direction direction) { return static_cast<size_t>(direction); }
  reassembly::ByteStream& stream(Direction direction) { return streams_[Index(direction)]; }
  Direction server() const { return capture::Opposite(client_); }
  bool over() const { return status_ != Status::kOpen; }

  // Reads what the streams have, both in the order of packet times.
  void Drain();
  // Reads what one stream has up to a packet time.
  void DrainUntil(Direction direction, int64_t until_ns);
  void Step(Direction direction);
  void OnPiece(Direction direction, reassembly::Piece* piece);
  void ReadRequests(reassembly::Piece* piece);
  void ReadResponses(reassembly::Piece* piece);
  // Counts the rest of a stretch that is not read as HTTP.
  void CountUnread(const reassembly::Piece& piece);
  void OnRequestHead();
  void OnResponseHead();
  // A response came and no request waits for one: looks for it where it may be stuck.
  void FindRequest();
  void PairRequestHead();
  void OnStreamEnd(Direction direction, int64_t time_ns);
  void FinishRequests();
  // True when bytes of a response were seen that is not finished.
  bool FinishResponses(bool in_order);
  void BecomeOpaque(int64_t now_ns);
  // Whether these are the first bytes of a connection that speaks TLS.
  bool BeginsHandshake(Direction direction, const reassembly::Piece& piece) const;
  void ReadHandshake(Direction direction, const reassembly::Piece& piece);
  void FinishHandshake();
  void OnNotHttpRequest(int64_t now_ns);
  void OnNotHttpResponse(int64_t now_ns);
  void SendFeedback(Direction direction);
  const http::MessageReader& reader(Direction direction) const {
    return direction == client_ ? requests_ : responses_;
  }

  ShardContext* shard_;
  const capture::ConnectionKey key_;
  const Direction client_;
  const bool midstream_;
  Status status_ = Status::kOpen;
  // A stretch of that direction is being read.
  bool reading_[2] = {false, false};
  // Packet time of what is being read.
  int64_t piece_ns_ = 0;
  bool ended_[2] = {false, false};
  bool http_posted_ = false;
  // A response is being read after which the connection speaks something else.
  bool switching_ = false;
  // The client's bytes are no HTTP any more; open exchanges may still be answered.
  bool requests_over_ = false;
  // By direction: position up to which the kernel side was told not to copy.
  uint64_t skip_until_[2] = {0, 0};
  reassembly::ByteStream streams_[2];
  http::MessageReader requests_;
  http::MessageReader responses_;
  pairing::Pairer pairer_;
  // While the hellos of a connection that speaks TLS are read; then the readers above have nothing.
  std::unique_ptr<tls::HandshakeReader> handshake_;
};

}  // namespace podtap
