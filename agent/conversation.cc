#include "agent/conversation.h"

#include <algorithm>
#include <utility>

namespace podtap {
namespace {

using http::MessageReader;
using pairing::EndReason;
using reassembly::Piece;
using reassembly::PieceKind;

// A body of known length is skipped when more than this is to come; chunk data, which needs a
// feedback per chunk, when more than that.
constexpr uint64_t kSkipBodyBytes = 16 * 1024;
constexpr uint64_t kSkipChunkBytes = 64 * 1024;
// How far ahead of the newest byte the kernel side may be told to skip, and how near the end of
// that may come before it is told again.
constexpr uint64_t kSkipAheadBytes = uint64_t{1} << 30;
constexpr uint64_t kSkipRenewBytes = uint64_t{1} << 29;
// What the kernel side coalesces may come this much later than it was sent.
constexpr int64_t kCoalesceDelayNs = 1'500'000'000;

}  // namespace

Conversation::Conversation(const pairing::Connection& connection, const capture::Segment& first,
                           ShardContext& shard)
    : shard_(&shard),
      key_(connection.key),
      client_(connection.pod_is_client ? Direction::kFromPod : Direction::kToPod),
      midstream_(connection.midstream),
      streams_{{shard.budget, shard.stream_counters}, {shard.budget, shard.stream_counters}},
      requests_(http::MessageKind::kRequest, shard.head_limits,
                first.initial_seq[Index(client_)].has_value(), shard.reader_counters),
      responses_(http::MessageKind::kResponse, shard.head_limits,
                 first.initial_seq[Index(capture::Opposite(client_))].has_value(),
                 shard.reader_counters),
      pairer_(connection, shard.limits.max_pending_exchanges, shard.pairing_counters,
              shard.exchanges) {
  for (const Direction direction : {Direction::kFromPod, Direction::kToPod}) {
    if (const auto& seq = first.initial_seq[Index(direction)]) {
      stream(direction).Start(*seq + 1);
    }
  }
}

Conversation::Status Conversation::OnSegment(const capture::Segment& segment) {
  const Direction direction = segment.direction;
  stream(direction).Add(segment);
  Drain();
  if (segment.rst && !over()) {
    if (stream(direction).AcceptsReset(segment.seq)) {
      End(EndReason::kReset, segment.time_ns);
      return status_;
    }
    ++shard_->ignored_resets;
  }
  if (over()) {
    return status_;
  }
  if (midstream_ && handshake_ == nullptr && !requests_.seen_http() && !responses_.seen_http() &&
      !requests_.in_message() && !responses_.in_message()) {
    status_ = Status::kRefused;
    return status_;
  }
  SendFeedback(direction);
  return status_;
}

Conversation::Status Conversation::OnTick(int64_t now_ns) {
  for (const Direction direction : {client_, server()}) {
    int64_t patience_ns = shard_->limits.gap_timeout_ns;
    if (stream(direction).next_position() < skip_until_[Index(direction)]) {
      patience_ns += kCoalesceDelayNs;
    }
    stream(direction).ExpireGap(now_ns - patience_ns);
  }
  Drain();
  return status_;
}

void Conversation::Drain() {
  while (!over()) {
    const std::optional<int64_t> client_ns = stream(client_).NextTimeNs();
    const std::optional<int64_t> server_ns = stream(server()).NextTimeNs();
    if (!client_ns && !server_ns) {
      return;
    }
    const bool client_first = client_ns && (!server_ns || *client_ns <= *server_ns);
    Step(client_first ? client_ : server());
  }
  stream(client_).Discard();
  stream(server()).Discard();
}

void Conversation::DrainUntil(Direction direction, int64_t until_ns) {
  if (reading_[Index(direction)]) {
    return;
  }
  while (!over()) {
    const std::optional<int64_t> next_ns = stream(direction).NextTimeNs();
    if (!next_ns || *next_ns > until_ns) {
      return;
    }
    Step(direction);
  }
}

void Conversation::Step(Direction direction) {
  Piece piece;
  if (!stream(direction).Next(&piece)) {
    return;
  }
  reading_[Index(direction)] = true;
  const int64_t outer_ns = std::exchange(piece_ns_, piece.time_ns);
  OnPiece(direction, &piece);
  piece_ns_ = outer_ns;
  reading_[Index(direction)] = false;
}

void Conversation::OnPiece(Direction direction, Piece* piece) {
  if (handshake_ == nullptr && BeginsHandshake(direction, *piece)) {
    handshake_ = std::make_unique<tls::HandshakeReader>(shard_->handshake_counters);
  }
  if (handshake_ != nullptr) {
    ReadHandshake(direction, *piece);
    return;
  }
  switch (piece->kind) {
    case PieceKind::kBytes:
    case PieceKind::kNotCopied:
    case PieceKind::kLost:
      if (direction == client_) {
        ReadRequests(piece);
      } else {
        ReadResponses(piece);
      }
      return;
    case PieceKind::kDuplicate:
      if (direction == client_) {
        requests_.Mark(piece->position, piece->size, piece->marks);
        pairer_.MarkRequest(piece->position, piece->size, piece->marks);
      } else {
        responses_.Mark(piece->position, piece->size, piece->marks);
        pairer_.MarkResponse(piece->position, piece->size, piece->marks);
      }
      return;
    case PieceKind::kEnd:
      OnStreamEnd(direction, piece->time_ns);
      return;
  }
}

void Conversation::ReadRequests(Piece* piece) {
  const int64_t time_ns = piece->time_ns;
  // With every request answered, a head can only belong to the next one.
  requests_.SetPeerMovedOn(!pairer_.AwaitsResponse() && !pairer_.pipelining_seen() &&
                           !responses_.in_message());
  // What is read may show of the other direction that the connection is over.
  while (!over()) {
    switch (requests_.Read(piece)) {
      case MessageReader::Result::kMore:
        return;
      case MessageReader::Result::kHead:
        OnRequestHead();
        break;
      case MessageReader::Result::kMessageEnd:
        pairer_.OnRequestEnd(requests_.message_end());
        break;
      case MessageReader::Result::kNotHttp:
        OnNotHttpRequest(time_ns);
        return;
      case MessageReader::Result::kDoubt:
        pairer_.OnRequestDoubt();
        break;
    }
  }
  CountUnread(*piece);
}

void Conversation::CountUnread(const Piece& piece) {
  shard_->reader_counters.in_bytes += piece.size;
  shard_->reader_counters.not_http_bytes += piece.size;
}

void Conversation::OnRequestHead() {
  if (!pairer_.pipelining_seen()) {
    // A client that waits for its responses has had them: what is missing of them was missed here.
    if (stream(server()).HasGap()) {
      stream(server()).GiveUpKnownGaps();
      DrainUntil(server(), piece_ns_);
    }
    if (responses_.EndUnframed() || (pairer_.in_orphan_response() && responses_.EndUnseenBody())) {
      pairer_.OnResponseEnd(responses_.message_end());
    }
  }
  if (pairer_.AwaitsResponse() && responses_.seeking()) {
    pairer_.OnResponsesUnseen(requests_.message_end().end_ns);
  }
  PairRequestHead();
}

void Conversation::PairRequestHead() {
  const uint64_t position = requests_.begin_position();
  const uint32_t flags = requests_.head_flags();
  http::RequestHead head = requests_.TakeRequest();
  head.seq = stream(client_).SeqAt(position);
  if (over()) {
    pairer_.OnLateRequestHead();
    return;
  }
  pairer_.OnRequestHead(std::move(head), position, flags, !responses_.in_message());
}

void Conversation::ReadResponses(Piece* piece) {
  const int64_t time_ns = piece->time_ns;
  while (!over()) {
    switch (responses_.Read(piece)) {
      case MessageReader::Result::kMore:
        return;
      case MessageReader::Result::kHead:
        OnResponseHead();
        break;
      case MessageReader::Result::kMessageEnd:
        pairer_.OnResponseEnd(responses_.message_end());
        if (switching_ || (requests_over_ && pairer_.empty())) {
          BecomeOpaque(time_ns);
        }
        break;
      case MessageReader::Result::kNotHttp:
        OnNotHttpResponse(time_ns);
        return;
      case MessageReader::Result::kDoubt:
        pairer_.OnResponseDoubt(time_ns);
        break;
    }
  }
  CountUnread(*piece);
}

void Conversation::OnResponseHead() {
  FindRequest();
  const uint64_t position = responses_.begin_position();
  const uint32_t flags = responses_.head_flags();
  http::ResponseHead head = responses_.TakeResponse();
  head.seq = stream(server()).SeqAt(position);
  const pairing::Pairer::Match match = pairer_.OnResponseHead(std::move(head), position, flags);
  if (match.paired) {
    requests_.SetSynced();
    responses_.SetSynced();
  }
  switching_ = match.switches_protocol;
  responses_.SetResponseMethod(match.method);
}

void Conversation::FindRequest() {
  if (pairer_.AwaitsResponse()) {
    return;
  }
  // The server has had the request, and the tap sits before the server: a hole before the request
  // is one of the tap's own.
  if (stream(client_).HasGap()) {
    stream(client_).GiveUpKnownGaps();
    DrainUntil(client_, piece_ns_);
  }
  if (!pairer_.AwaitsResponse() && requests_.HasPartialHead()) {
    requests_.PromotePartialHead();
    PairRequestHead();
  }
}

void Conversation::OnNotHttpRequest(int64_t now_ns) {
  requests_over_ = true;
  if (pairer_.empty()) {
    BecomeOpaque(now_ns);
  }
}

void Conversation::OnNotHttpResponse(int64_t now_ns) {
  FindRequest();
  pairer_.OnMalformedResponse(now_ns);
  BecomeOpaque(now_ns);
}

void Conversation::BecomeOpaque(int64_t now_ns) {
  pairer_.End(EndReason::kClosed, now_ns, false);
  status_ = Status::kOpaque;
  capture::Feedback feedback;
  feedback.verdict = capture::Verdict::kOpaque;
  shard_->feedback.OnFeedback(key_, feedback);
}

void Conversation::OnStreamEnd(Direction direction, int64_t time_ns) {
  ended_[Index(direction)] = true;
  if (direction == client_) {
    FinishRequests();
  } else {
    const bool begun = FinishResponses(true);
    if (pairer_.AwaitsResponse()) {
      pairer_.End(EndReason::kClosed, time_ns, begun);
    }
  }
  if (ended_[0] && ended_[1]) {
    pairer_.End(EndReason::kClosed, time_ns, false);
    status_ = Status::kOver;
  }
}

void Conversation::FinishRequests() {
  if (requests_.Finish(true) == MessageReader::Result::kMessageEnd) {
    pairer_.OnRequestEnd(requests_.message_end());
  }
}

bool Conversation::FinishResponses(bool in_order) {
  const bool begun = responses_.in_message();
  MessageReader::Result result = responses_.Finish(in_order);
  if (result == MessageReader::Result::kHead) {
    OnResponseHead();
    result = responses_.Finish(in_order);
  }
  if (result == MessageReader::Result::kMessageEnd) {
    pairer_.OnResponseEnd(responses_.message_end());
  }
  return begun;
}

void Conversation::End(EndReason reason, int64_t now_ns) {
  for (const Direction direction : {client_, server()}) {
    stream(direction).GiveUpGaps();
  }
  Drain();
  if (over()) {
    return;
  }
  FinishHandshake();
  FinishRequests();
  const bool begun = FinishResponses(false);
  pairer_.End(reason, now_ns, begun);
  status_ = Status::kOver;
}

void Conversation::SendFeedback(Direction direction) {
  capture::Feedback feedback;
  bool wanted = false;
  if (!http_posted_ && (requests_.seen_http() || responses_.seen_http())) {
    http_posted_ = true;
    wanted = true;
  }
  const http::MessageReader& source = reader(direction);
  const uint64_t newest = stream(direction).newest_position();
  const uint64_t target = source.not_needed_until();
  uint64_t& posted = skip_until_[Index(direction)];
  if (target > newest + (source.in_chunk_data() ? kSkipChunkBytes : kSkipBodyBytes)) {
    const uint64_t reach = std::min(target, newest + kSkipAheadBytes);
    if (reach > posted && posted < newest + kSkipRenewBytes) {
      posted = reach;
      feedback.skip_until[Index(direction)] = stream(direction).SeqAt(reach);
      wanted = true;
    }
  }
  if (wanted) {
    feedback.verdict = capture::Verdict::kHttp;
    shard_->feedback.OnFeedback(key_, feedback);
  }
}

}  // namespace podtap
