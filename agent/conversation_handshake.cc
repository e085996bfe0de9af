// The part of Conversation that deals with connections that speak TLS: their hellos are read, and
// then they are of no more interest.
#include <optional>
#include <utility>

#include "agent/conversation.h"

namespace podtap {

using reassembly::Piece;
using reassembly::PieceKind;

bool Conversation::BeginsHandshake(Direction direction, const Piece& piece) const {
  if (direction != client_ || piece.kind != PieceKind::kBytes || piece.position != 0) {
    return false;
  }
  // Without a SYN, the first byte alone says little.
  return midstream_ ? tls::LooksLikeClientHello(piece.bytes)
                    : piece.bytes.front() == tls::kHandshakeRecord;
}

void Conversation::ReadHandshake(Direction direction, const Piece& piece) {
  const auto from = direction == client_ ? tls::HelloKind::kClient : tls::HelloKind::kServer;
  switch (piece.kind) {
    case PieceKind::kBytes:
      handshake_->Read(from, piece.bytes);
      CountUnread(piece);
      break;
    case PieceKind::kNotCopied:
    case PieceKind::kLost:
      handshake_->GiveUp(from);
      CountUnread(piece);
      break;
    case PieceKind::kDuplicate:
      return;
    case PieceKind::kEnd:
      handshake_->GiveUp(from);
      break;
  }
  if (handshake_->done()) {
    FinishHandshake();
    BecomeOpaque(piece.time_ns);
  }
}

void Conversation::FinishHandshake() {
  if (handshake_ == nullptr) {
    return;
  }
  if (std::optional<tls::Handshake> handshake = handshake_->Finish()) {
    shard_->handshakes.OnHandshake(key_.tap, client_ == Direction::kFromPod, *std::move(handshake));
  }
  handshake_.reset();
}

}  // namespace podtap
