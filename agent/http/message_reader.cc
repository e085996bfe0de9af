#include "agent/http/message_reader.h"

#include <algorithm>
#include <utility>

namespace podtap::http {
namespace {

using reassembly::Piece;
using reassembly::PieceKind;

std::string_view View(const Piece& piece) {
  return {reinterpret_cast<const char*>(piece.bytes.data()), piece.bytes.size()};
}

}  // namespace

MessageReader::MessageReader(MessageKind kind, const HeadLimits& limits, bool synced,
                             ReaderCounters& counters)
    : kind_(kind),
      counters_(&counters),
      state_(synced ? State::kStart : State::kSeek),
      synced_(synced),
      head_(kind, limits) {}

MessageReader::Result MessageReader::Read(Piece* piece) {
  while (true) {
    if (state_ == State::kEnd) {
      state_ = State::kStart;
      return Result::kMessageEnd;
    }
    if (state_ == State::kHeadDone && !head_reported_) {
      head_reported_ = true;
      return Result::kHead;
    }
    if (piece->size == 0) {
      return Result::kMore;
    }
    const Result result = piece->kind == PieceKind::kBytes ? ReadBytes(piece) : ReadHole(piece);
    if (result != Result::kMore) {
      return result;
    }
  }
}

MessageReader::Result MessageReader::ReadBytes(Piece* piece) {
  switch (state_) {
    case State::kSeek:
      return ReadSeek(piece);
    case State::kStart:
      return ReadStart(piece);
    case State::kHead:
      return ReadHead(piece);
    case State::kLength:
    case State::kUntilClose:
      return ReadBody(piece);
    case State::kChunked:
      return ReadChunked(piece);
    case State::kUnframed:
      return ReadUnframed(piece);
    case State::kHeadDone:
    case State::kEnd:
    case State::kStopped:
      return StopReading(piece);
  }
  return Result::kMore;
}

void MessageReader::Take(Piece* piece, uint64_t size, uint64_t* counter) {
  *counter += size;
  counters_->in_bytes += size;
  // What was lost was seen at no time.
  if (size > 0 && piece->kind != PieceKind::kLost) {
    last_ns_ = piece->time_ns;
  }
  piece->RemovePrefix(size);
  position_ = piece->position;
}

MessageReader::Result MessageReader::StopReading(Piece* piece) {
  Take(piece, piece->size, &counters_->not_http_bytes);
  return Result::kMore;
}

bool MessageReader::MayStartAt(const Piece& piece) const {
  return piece.starts_segment && LooksLikeStart(kind_, View(piece));
}

MessageReader::Result MessageReader::ReadSeek(Piece* piece) {
  if (MayStartAt(*piece)) {
    BeginHead(*piece);
  } else {
    ++counters_->unsynced_count;
    Take(piece, piece->size, &counters_->unsynced_bytes);
  }
  return Result::kMore;
}

MessageReader::Result MessageReader::ReadStart(Piece* piece) {
  // RFC 9112 section 2.2: line ends before a start line are skipped.
  const std::string_view bytes = View(*piece);
  const size_t blank = std::min(bytes.find_first_not_of("\r\n"), bytes.size());
  if (blank > 0) {
    Take(piece, blank, &counters_->blank_bytes);
    return Result::kMore;
  }
  if (MayStart(kind_, bytes)) {
    BeginHead(*piece);
    return Result::kMore;
  }
  return NoMessage(piece);
}

void MessageReader::BeginHead(const Piece& piece) {
  head_.Reset();
  head_reported_ = false;
  promoted_ = false;
  unframed_in_head_ = false;
  begin_position_ = piece.position;
  begin_ns_ = piece.time_ns;
  flags_ = 0;
  state_ = State::kHead;
}

MessageReader::Result MessageReader::ReadHead(Piece* piece) {
  (head_in_unframed_ ? candidate_flags_ : flags_) |= piece->marks;
  size_t taken = 0;
  const HeadReader::Result result = head_.Read(View(*piece), &taken);
  Take(piece, taken, &counters_->head_bytes);
  // Where a request is only guessed, a target with a space in it is text.
  const bool text = (!synced_ || head_in_unframed_) && !promoted_ &&
                    head_.target().find(' ') != std::string_view::npos;
  if (result == HeadReader::Result::kInvalid || text) {
    return FailHead(piece);
  }
  seen_http_ = seen_http_ || head_.start_line_valid();
  const bool ends_unframed = head_in_unframed_ && head_.start_line_valid();
  if (ends_unframed) {
    EndUnframedAtCandidate();
  }
  if (result == HeadReader::Result::kComplete) {
    CompleteHead();
  }
  return ends_unframed ? Result::kMessageEnd : Result::kMore;
}

MessageReader::Result MessageReader::NoMessage(Piece* piece) {
  if (!synced_) {
    state_ = State::kSeek;
    return Result::kMore;
  }
  state_ = State::kStopped;
  StopReading(piece);
  return Result::kNotHttp;
}

MessageReader::Result MessageReader::FailHead(Piece* piece) {
  if (head_in_unframed_) {
    head_in_unframed_ = false;
    state_ = State::kUnframed;
    return Result::kMore;
  }
  counters_->http2_connections += head_.is_http2_preface() ? 1 : 0;
  return NoMessage(piece);
}

void MessageReader::CountHead() {
  ++(kind_ == MessageKind::kRequest ? counters_->request_heads : counters_->response_heads);
}

void MessageReader::CompleteHead() {
  body_position_ = position_;
  if (head_.truncated()) {
    ++counters_->truncated_heads;
    flags_ |= Bit(MessageFlag::kHeadersTruncated);
  }
  if (promoted_) {
    StartBody(head_.framing().ForRequest(head_.minor_version()));
    return;
  }
  CountHead();
  state_ = State::kHeadDone;
}

RequestHead MessageReader::TakeRequest() {
  RequestHead head = head_.TakeRequest();
  head.size = position_ - begin_position_;
  head.start_ns = begin_ns_;
  if (state_ == State::kHeadDone) {
    StartBody(head_.framing().ForRequest(head_.minor_version()));
  }
  return head;
}

ResponseHead MessageReader::TakeResponse() {
  ResponseHead head = head_.TakeResponse();
  head.size = position_ - begin_position_;
  head.start_ns = begin_ns_;
  return head;
}

void MessageReader::SetResponseMethod(RequestMethod method) {
  if (state_ == State::kHeadDone) {
    StartBody(head_.framing().ForResponse(head_.minor_version(), head_.status_code(), method));
  }
}

void MessageReader::StartBody(const BodyFraming& framing) {
  if (framing.ambiguous) {
    flags_ |= Bit(MessageFlag::kAmbiguousFraming);
  }
  switch (framing.kind) {
    case BodyKind::kNone:
      EndMessage(true);
      return;
    case BodyKind::kLength:
      length_left_ = framing.length;
      state_ = State::kLength;
      return;
    case BodyKind::kChunked:
      chunked_ = ChunkedReader();
      state_ = State::kChunked;
      return;
    case BodyKind::kUntilClose:
      state_ = State::kUntilClose;
      return;
    case BodyKind::kUnknown:
      LoseFraming(false);
      return;
  }
}

MessageReader::Result MessageReader::ReadBody(Piece* piece) {
  flags_ |= piece->marks;
  if (state_ == State::kUntilClose) {
    Take(piece, piece->size, &counters_->body_bytes);
    return Result::kMore;
  }
  const uint64_t size = std::min(length_left_, piece->size);
  length_left_ -= size;
  Take(piece, size, &counters_->body_bytes);
  if (length_left_ == 0) {
    EndMessage(true);
  }
  return Result::kMore;
}

MessageReader::Result MessageReader::ReadChunked(Piece* piece) {
  flags_ |= piece->marks;
  Take(piece, chunked_.Read(View(*piece)), &counters_->body_bytes);
  if (chunked_.state() == ChunkedReader::State::kDone) {
    EndMessage(true);
  } else if (chunked_.state() == ChunkedReader::State::kBroken) {
    flags_ |= Bit(MessageFlag::kAmbiguousFraming);
    LoseFraming(false);
  }
  return Result::kMore;
}

void MessageReader::EndMessage(bool complete) {
  end_.begin_position = begin_position_;
  end_.head_size = body_position_ - begin_position_;
  end_.body_size = position_ - body_position_;
  end_.end_ns = last_ns_;
  end_.flags = flags_;
  end_.complete = complete;
  state_ = State::kEnd;
}

bool MessageReader::HasPartialHead() const {
  return state_ == State::kHead && !head_in_unframed_ && !promoted_ && head_.start_line_valid();
}

void MessageReader::PromotePartialHead() {
  promoted_ = true;
  flags_ |= Bit(MessageFlag::kHeadersTruncated);
  ++counters_->truncated_heads;
  CountHead();
}

MessageReader::Result MessageReader::Finish(bool in_order) {
  if (state_ == State::kHead && head_in_unframed_) {
    head_in_unframed_ = false;
    state_ = State::kUnframed;
  }
  switch (state_) {
    case State::kHead:
      if (kind_ == MessageKind::kResponse && head_.start_line_valid()) {
        CutHead();
        cut_by_end_ = true;
        return Result::kHead;
      }
      if (promoted_) {
        body_position_ = position_;
        EndMessage(false);
      } else {
        ++counters_->incomplete_heads;
      }
      break;
    case State::kLength:
    case State::kChunked:
      EndMessage(false);
      break;
    case State::kUntilClose:
      EndMessage(in_order);
      break;
    case State::kUnframed:
      flags_ |= Bit(MessageFlag::kFramingInferred);
      EndMessage(in_order && !unframed_was_chunked_ && !cut_by_end_);
      break;
    case State::kSeek:
    case State::kStart:
    case State::kHeadDone:
    case State::kEnd:
    case State::kStopped:
      break;
  }
  const bool ended = state_ == State::kEnd;
  state_ = State::kStopped;
  return ended ? Result::kMessageEnd : Result::kMore;
}

void MessageReader::Mark(uint64_t position, uint64_t size, uint32_t marks) {
  if (in_message() && position + size > begin_position_) {
    flags_ |= marks;
  }
}

uint64_t MessageReader::not_needed_until() const {
  switch (state_) {
    case State::kLength:
      return position_ + length_left_;
    case State::kChunked:
      return position_ + chunked_.data_left();
    case State::kSeek:
    case State::kStart:
    case State::kHead:
    case State::kHeadDone:
    case State::kUntilClose:
    case State::kUnframed:
    case State::kEnd:
    case State::kStopped:
      return 0;
  }
  return 0;
}

}  // namespace podtap::http
