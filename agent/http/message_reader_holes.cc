// The part of MessageReader that deals with holes and with bodies whose framing they hid.
#include <algorithm>
#include <string>
#include <utility>

#include "agent/http/message_reader.h"

namespace podtap::http {
namespace {

using reassembly::Piece;
using reassembly::PieceKind;

std::string_view View(const Piece& piece) {
  return {reinterpret_cast<const char*>(piece.bytes.data()), piece.bytes.size()};
}

constexpr std::string_view kLastChunk = "\r\n0\r\n";
constexpr std::string_view kVersionInLine = " HTTP/1.";
constexpr std::string_view kEmptyLine = "\r\n\r\n";

}  // namespace

void MessageReader::LoseFraming(bool was_chunked) {
  unframed_was_chunked_ = was_chunked;
  tail_size_ = 0;
  version_matched_ = 0;
  state_ = State::kUnframed;
}

MessageReader::Result MessageReader::ReadUnframed(Piece* piece) {
  if (peer_moved_on_ && MayStartAt(*piece)) {
    head_.Reset();
    head_in_unframed_ = true;
    candidate_position_ = piece->position;
    candidate_ns_ = piece->time_ns;
    candidate_flags_ = Bit(MessageFlag::kFramingInferred);
    before_candidate_ns_ = last_ns_;
    state_ = State::kHead;
    return Result::kMore;
  }
  flags_ |= piece->marks;
  if (const size_t hidden = FindHiddenRequest(View(*piece)); hidden > 0) {
    Take(piece, hidden, &counters_->unframed_bytes);
    return Result::kDoubt;
  }
  const std::string_view bytes = View(*piece);
  const bool ends = piece->ends_segment && LooksLikeEnd(bytes);
  RememberTail(bytes);
  ++counters_->unframed_count;
  Take(piece, piece->size, &counters_->unframed_bytes);
  if (ends) {
    if (unframed_in_head_) {
      body_position_ = position_;
    }
    EndInferred();
  }
  return Result::kMore;
}

size_t MessageReader::FindHiddenRequest(std::string_view bytes) {
  if (kind_ != MessageKind::kRequest) {
    return 0;
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    // The pattern's first character comes once in it: a mismatch starts anew.
    if (bytes[i] != kVersionInLine[version_matched_]) {
      version_matched_ = bytes[i] == kVersionInLine[0] ? 1 : 0;
    } else if (++version_matched_ == kVersionInLine.size()) {
      version_matched_ = 0;
      return i + 1;
    }
  }
  return 0;
}

void MessageReader::RememberTail(std::string_view bytes) {
  for (const char c : bytes.substr(bytes.size() - std::min(bytes.size(), tail_.size()))) {
    if (tail_size_ == tail_.size()) {
      std::copy(tail_.begin() + 1, tail_.end(), tail_.begin());
      --tail_size_;
    }
    tail_[tail_size_++] = c;
  }
}

bool MessageReader::LooksLikeEnd(std::string_view bytes) const {
  if (unframed_in_head_) {
    // A request head with its middle not copied, and no body by the fields that were.
    return kind_ == MessageKind::kRequest && bytes.ends_with(kEmptyLine) &&
           head_.framing().ForRequest(head_.minor_version()).kind == BodyKind::kNone;
  }
  if (!unframed_was_chunked_) {
    return false;
  }
  // The last chunk with its trailer fields, if any, in one stretch; or cut in two.
  const size_t last_chunk = bytes.rfind(kLastChunk);
  if (last_chunk != std::string_view::npos && bytes.ends_with(kEmptyLine)) {
    return true;
  }
  std::string joined(tail_.data(), tail_size_);
  joined += bytes.substr(bytes.size() - std::min(bytes.size(), tail_.size()));
  return joined.ends_with("\r\n0\r\n\r\n");
}

void MessageReader::EndUnframedAtCandidate() {
  const uint64_t position = std::exchange(position_, candidate_position_);
  const int64_t last_ns = std::exchange(last_ns_, before_candidate_ns_);
  EndInferred();
  state_ = State::kHead;
  position_ = position;
  last_ns_ = last_ns;
  head_in_unframed_ = false;
  head_reported_ = false;
  promoted_ = false;
  unframed_in_head_ = false;
  begin_position_ = candidate_position_;
  begin_ns_ = candidate_ns_;
  flags_ = candidate_flags_;
}

MessageReader::Result MessageReader::ReadHole(Piece* piece) {
  const uint32_t gap = piece->kind == PieceKind::kLost ? Bit(MessageFlag::kGap) : 0;
  switch (state_) {
    case State::kSeek:
      ++counters_->unsynced_count;
      Take(piece, piece->size, &counters_->unsynced_bytes);
      return Result::kMore;
    case State::kStart:
      return ReadHoleAtStart(piece);
    case State::kHead:
      return ReadHoleInHead(piece);
    case State::kLength:
    case State::kUntilClose:
      flags_ |= gap;
      return ReadBody(piece);
    case State::kChunked:
      flags_ |= gap | piece->marks;
      if (piece->size > chunked_.data_left()) {
        LoseFraming(true);
        return Result::kMore;
      }
      chunked_.SkipData(piece->size);
      Take(piece, piece->size, &counters_->body_bytes);
      return Result::kMore;
    case State::kUnframed:
      flags_ |= gap | piece->marks;
      tail_size_ = 0;
      ++counters_->unframed_count;
      Take(piece, piece->size, &counters_->unframed_bytes);
      return Result::kMore;
    case State::kHeadDone:
    case State::kEnd:
    case State::kStopped:
      return StopReading(piece);
  }
  return Result::kMore;
}

MessageReader::Result MessageReader::ReadHoleAtStart(Piece* piece) {
  synced_ = false;
  state_ = State::kSeek;
  ++counters_->unsynced_count;
  Take(piece, piece->size, &counters_->unsynced_bytes);
  return Result::kDoubt;
}

MessageReader::Result MessageReader::ReadHoleInHead(Piece* piece) {
  if (head_in_unframed_) {
    head_in_unframed_ = false;
    state_ = State::kUnframed;
    return Result::kMore;
  }
  if (!head_.start_line_valid()) {
    ++counters_->incomplete_heads;
    return ReadHoleAtStart(piece);
  }
  if (piece->kind == PieceKind::kLost) {
    flags_ |= Bit(MessageFlag::kGap);
  }
  const bool reported = promoted_;
  CutHead();
  return reported ? Result::kMore : Result::kHead;
}

void MessageReader::CutHead() {
  body_position_ = position_;
  flags_ |= Bit(MessageFlag::kHeadersTruncated);
  if (!promoted_) {
    ++counters_->truncated_heads;
    CountHead();
  }
  LoseFraming(false);
  unframed_in_head_ = true;
}

void MessageReader::EndInferred() {
  ++counters_->inferred_ends;
  flags_ |= Bit(MessageFlag::kFramingInferred);
  // Should the guess be wrong, what follows is not what was expected, and not proof of anything.
  synced_ = false;
  EndMessage(true);
}

bool MessageReader::EndUnframed() {
  if (state_ != State::kUnframed && !(state_ == State::kHead && head_in_unframed_)) {
    return false;
  }
  head_in_unframed_ = false;
  EndInferred();
  state_ = State::kSeek;
  return true;
}

bool MessageReader::EndUnseenBody() {
  const bool in_body = state_ == State::kLength || state_ == State::kChunked;
  if (!in_body || position_ != body_position_) {
    return false;
  }
  EndInferred();
  state_ = State::kStart;
  return true;
}

}  // namespace podtap::http
