// One direction of a connection: stretches of bytes in, heads and ends of messages out.
//
// Knows at every byte whether a message may start there. Where a hole hides that, it reports the
// doubt and looks for the next head at the start of a segment; it never takes text inside a body of
// known framing for a head.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "agent/http/chunked_reader.h"
#include "agent/http/framing.h"
#include "agent/http/head_reader.h"
#include "agent/http/message.h"
#include "agent/reassembly/piece.h"

namespace podtap::http {

// Of all readers of a shard. Bytes of stretches read obey
//   in = head_bytes + body_bytes + blank_bytes + unframed + unsynced + not_http.
struct ReaderCounters {
  uint64_t in_bytes = 0;
  uint64_t request_heads = 0;
  uint64_t response_heads = 0;
  // Heads that ended before their start line did, or a request's before its empty line.
  uint64_t incomplete_heads = 0;
  // Heads of which not all is kept.
  uint64_t truncated_heads = 0;
  // Bytes read as heads, those of failed ones included.
  uint64_t head_bytes = 0;
  uint64_t body_bytes = 0;
  // Line ends between messages.
  uint64_t blank_bytes = 0;
  // Stretches of bodies whose framing was lost.
  uint64_t unframed_count = 0;
  uint64_t unframed_bytes = 0;
  // Stretches passed over in search of a head.
  uint64_t unsynced_count = 0;
  uint64_t unsynced_bytes = 0;
  // Bytes where a message had to start and none did, and what came behind them.
  uint64_t not_http_bytes = 0;
  // Ends of messages that were inferred.
  uint64_t inferred_ends = 0;
  // Began with the preface of HTTP/2 in clear (RFC 9113 section 3.4).
  uint64_t http2_connections = 0;
};

// Not thread-safe.
class MessageReader {
 public:
  enum class Result : uint8_t {
    // The stretch is used up.
    kMore,
    // A head is ready: call TakeRequest(), or TakeResponse() and then SetResponseMethod().
    kHead,
    // A message has ended: see message_end().
    kMessageEnd,
    // A message had to start here and this is none. Nothing more can be read.
    kNotHttp,
    // A message start was hidden: in a hole, or in bytes of lost framing.
    kDoubt,
  };

  // `synced`: the first byte is the first of a message. `counters` is borrowed.
  MessageReader(MessageKind kind, const HeadLimits& limits, bool synced, ReaderCounters& counters);

  // Reads from the front of `piece` (bytes or holes only), shrinking it. Call until kMore.
  Result Read(reassembly::Piece* piece);

  RequestHead TakeRequest();
  ResponseHead TakeResponse();
  // Flags gathered by the head so far.
  uint32_t head_flags() const { return flags_; }
  uint64_t begin_position() const { return begin_position_; }
  // After a response's head: the method it answers decides whether a body follows.
  void SetResponseMethod(RequestMethod method);
  const MessageEnd& message_end() const { return end_; }

  // A head whose first line was read waits for the rest. After Take...() of it the reader reads
  // on for its framing, and reports no head when it ends.
  bool HasPartialHead() const;
  // Takes the part there is as the head.
  void PromotePartialHead();

  // The other side went on to something that comes after the message being read. When its framing
  // is lost, a head at the start of a segment may end it.
  void SetPeerMovedOn(bool moved_on) { peer_moved_on_ = moved_on; }
  // Ends a message whose framing is lost; false when there is none. Then see message_end().
  bool EndUnframed();
  // A response to a request nobody saw, which has a body by its headers of which no byte came, was
  // one to HEAD when the client goes on. True when that was so; then see message_end().
  bool EndUnseenBody();
  // The stream ends here, in order or not. kHead: a response's head was cut; call again after
  // taking it. kMessageEnd: see message_end(). kMore: nothing to report.
  Result Finish(bool in_order);

  // What was guessed to be HTTP is confirmed, unless a guess is being read just now.
  void SetSynced() { synced_ = synced_ || (state_ != State::kSeek && state_ != State::kHead); }
  bool synced() const { return synced_; }
  // Whether the first line of any message has been read.
  bool seen_http() const { return seen_http_; }
  // Inside a message's head or body.
  bool in_message() const {
    return state_ != State::kSeek && state_ != State::kStart && state_ != State::kStopped;
  }
  bool seeking() const { return state_ == State::kSeek; }
  // Adds Mark bits to the message being read when it includes some of the range.
  void Mark(uint64_t position, uint64_t size, uint32_t marks);
  // Bytes before this position are not needed; 0 when all are.
  uint64_t not_needed_until() const;
  bool in_chunk_data() const { return state_ == State::kChunked; }

 private:
  enum class State : uint8_t {
    // Looking for a head at the start of a segment.
    kSeek,
    // Where a message may start.
    kStart,
    kHead,
    // The head waits to be taken and to get its framing.
    kHeadDone,
    kLength,
    kChunked,
    kUntilClose,
    // In a body whose end can't be told from its bytes.
    kUnframed,
    // The message's end waits to be reported.
    kEnd,
    kStopped,
  };

  Result ReadBytes(reassembly::Piece* piece);
  Result ReadHole(reassembly::Piece* piece);
  Result ReadHoleAtStart(reassembly::Piece* piece);
  Result ReadHoleInHead(reassembly::Piece* piece);
  Result ReadSeek(reassembly::Piece* piece);
  Result ReadStart(reassembly::Piece* piece);
  Result ReadHead(reassembly::Piece* piece);
  Result ReadBody(reassembly::Piece* piece);
  Result ReadChunked(reassembly::Piece* piece);
  Result ReadUnframed(reassembly::Piece* piece);
  void BeginHead(const reassembly::Piece& piece);
  Result FailHead(reassembly::Piece* piece);
  // What is here is no message: goes on looking for one where that may be, else stops.
  Result NoMessage(reassembly::Piece* piece);
  // The candidate is a head: the message of lost framing ended where it began.
  void EndUnframedAtCandidate();
  void CompleteHead();
  void CountHead();
  void LoseFraming(bool was_chunked);
  // The head can't be read on; what there is of it is reported.
  void CutHead();
  Result StopReading(reassembly::Piece* piece);
  void StartBody(const BodyFraming& framing);
  void Take(reassembly::Piece* piece, uint64_t size, uint64_t* counter);
  void EndMessage(bool complete);
  void EndInferred();
  // Where in bytes of lost framing a request line seems to end; 0 when nowhere.
  size_t FindHiddenRequest(std::string_view bytes);
  void RememberTail(std::string_view bytes);
  // The last bytes of a segment, `bytes`, look like the end of the message of lost framing.
  bool LooksLikeEnd(std::string_view bytes) const;
  bool MayStartAt(const reassembly::Piece& piece) const;

  const MessageKind kind_;
  ReaderCounters* counters_;
  State state_;
  bool synced_;
  bool seen_http_ = false;
  bool peer_moved_on_ = false;
  // A head is being read inside a message of lost framing, which it ends if it is one.
  bool head_in_unframed_ = false;
  // The head was taken before its end.
  bool promoted_ = false;
  bool head_reported_ = false;
  // The stream ended inside the head.
  bool cut_by_end_ = false;
  bool unframed_was_chunked_ = false;
  // The framing was lost inside the head.
  bool unframed_in_head_ = false;
  HeadReader head_;
  ChunkedReader chunked_;
  uint64_t length_left_ = 0;

  // The message being read.
  uint64_t begin_position_ = 0;
  uint64_t body_position_ = 0;
  int64_t begin_ns_ = 0;
  uint32_t flags_ = 0;
  // End and time of what was read last.
  uint64_t position_ = 0;
  int64_t last_ns_ = 0;
  // Where and when the head inside an unframed message began.
  uint64_t candidate_position_ = 0;
  int64_t candidate_ns_ = 0;
  uint32_t candidate_flags_ = 0;
  int64_t before_candidate_ns_ = 0;
  MessageEnd end_;
  // Last bytes read while the framing is lost.
  std::array<char, 8> tail_{};
  uint8_t tail_size_ = 0;
  uint8_t version_matched_ = 0;
};

}  // namespace podtap::http
