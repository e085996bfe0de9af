// One direction's bytes, with holes anywhere, through the reader of messages.
//
// Input: a byte of options, then text with marks. Text is a piece; the byte behind its mark says
// what follows it: see Apply().
#include <algorithm>
#include <string>

#include "agent/http/message_reader.h"
#include "common/status.h"
#include "tests/fuzz/input.h"

namespace podtap::http {
namespace {

using fuzz::Input;
using reassembly::Piece;
using reassembly::PieceKind;
using Result = MessageReader::Result;

constexpr HeadLimits kSmall = {.max_bytes = 256, .max_headers = 4};

class Reading {
 public:
  Reading(MessageKind kind, const HeadLimits& limits, bool synced)
      : kind_(kind), limits_(limits), reader_(kind, limits, synced, counters_) {}

  void Text(std::string_view text) {
    Piece piece;
    piece.bytes = {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
    Pass(piece, text.size());
  }
  void Hole(PieceKind kind, uint64_t size) {
    Piece piece;
    piece.kind = kind;
    Pass(piece, size);
  }
  // What may come between two pieces.
  void Apply(uint8_t action, Input& input);
  void Finish(bool in_order);

  // What came out, as text. Only of use while nothing had to be inferred.
  const std::string& log() const { return log_; }
  bool inferred() const {
    return doubts_ > 0 || counters_.unframed_count + counters_.unsynced_count +
                                  counters_.inferred_ends + counters_.truncated_heads >
                              0;
  }

 private:
  void Pass(Piece piece, uint64_t size) {
    piece.size = size;
    piece.position = position_;
    piece.starts_segment = !joined_;
    piece.ends_segment = true;
    piece.time_ns = ++time_ns_;
    joined_ = false;
    position_ += size;
    // A piece of nothing is never passed on.
    if (size == 0) {
      return;
    }
    // Each byte ends at most one message and begins one.
    uint64_t results = 0;
    while (true) {
      const Result result = reader_.Read(&piece);
      if (result == Result::kMore) {
        break;
      }
      PODTAP_CHECK(++results <= 4 * size + 8);
      Take(result);
      if (result == Result::kNotHttp) {
        break;
      }
    }
    PODTAP_CHECK(piece.size == 0);
    CheckSums();
  }

  void CheckSums() const {
    PODTAP_CHECK(counters_.in_bytes == position_);
    PODTAP_CHECK(counters_.in_bytes == counters_.head_bytes + counters_.body_bytes +
                                           counters_.blank_bytes + counters_.unframed_bytes +
                                           counters_.unsynced_bytes + counters_.not_http_bytes);
    PODTAP_CHECK(heads_ == counters_.request_heads + counters_.response_heads);
    PODTAP_CHECK(ends_ <= heads_);
  }

  void Take(Result result) {
    switch (result) {
      case Result::kMore:
        return;
      case Result::kHead:
        TakeHead();
        return;
      case Result::kMessageEnd:
        TakeEnd();
        return;
      case Result::kNotHttp:
        log_ += "not http;";
        return;
      case Result::kDoubt:
        ++doubts_;
        return;
    }
  }

  void TakeHead() {
    ++heads_;
    PODTAP_CHECK(heads_ == 1 || reader_.begin_position() > last_begin_);
    PODTAP_CHECK(reader_.begin_position() < position_);
    last_begin_ = reader_.begin_position();
    log_ += std::to_string(last_begin_) + ":";
    if (kind_ == MessageKind::kRequest) {
      const RequestHead head = reader_.TakeRequest();
      PODTAP_CHECK(!head.method.empty() && head.minor_version <= 9);
      log_ += head.method + " " + head.target;
      TakeHeaders(head.headers, head.size);
    } else {
      const ResponseHead head = reader_.TakeResponse();
      PODTAP_CHECK(head.status_code >= 100 && head.status_code <= 999);
      PODTAP_CHECK(head.minor_version <= 9);
      log_ += std::to_string(head.status_code);
      TakeHeaders(head.headers, head.size);
      reader_.SetResponseMethod(answers_);
    }
  }

  void TakeHeaders(const HeaderMap& headers, uint64_t head_size) {
    PODTAP_CHECK(headers.size() <= limits_.max_headers);
    PODTAP_CHECK(headers.raw().size() <= limits_.max_bytes);
    PODTAP_CHECK(head_size <= position_);
    for (size_t i = 0; i < headers.size(); ++i) {
      // Reads every byte that a view refers to.
      log_.append(headers[i].name).append("=").append(headers[i].value).append("|");
    }
  }

  void TakeEnd() {
    ++ends_;
    const MessageEnd& end = reader_.message_end();
    PODTAP_CHECK(end.begin_position == last_begin_);
    PODTAP_CHECK(end.begin_position + end.head_size + end.body_size <= position_);
    PODTAP_CHECK(end.end_ns <= time_ns_);
    log_ += "body " + std::to_string(end.body_size) + (end.complete ? ";" : " cut;");
  }

  const MessageKind kind_;
  const HeadLimits limits_;
  ReaderCounters counters_;
  MessageReader reader_;
  uint64_t position_ = 0;
  int64_t time_ns_ = 0;
  bool joined_ = false;
  uint64_t heads_ = 0;
  uint64_t ends_ = 0;
  uint64_t doubts_ = 0;
  uint64_t last_begin_ = 0;
  RequestMethod answers_ = RequestMethod::kOther;
  std::string log_;
};

void Reading::Apply(uint8_t action, Input& input) {
  switch (action % 12) {
    case 0:
      return;
    case 1:
      joined_ = true;
      return;
    case 2:
      return Hole(PieceKind::kNotCopied, input.Short());
    case 3:
      return Hole(PieceKind::kLost, input.Short());
    case 4:
      // So great that positions leave 32 bits.
      return Hole(PieceKind::kNotCopied, uint64_t{input.Short()} << 20);
    case 5:
      return reader_.SetPeerMovedOn(input.Byte() % 2 == 0);
    case 6: {
      const uint64_t back = std::min<uint64_t>(position_, input.Byte());
      return reader_.Mark(position_ - back, back, Bit(reassembly::Mark::kRetransmitted));
    }
    case 7:
      return reader_.SetSynced();
    case 8:
      if (reader_.EndUnframed()) {
        TakeEnd();
      }
      return;
    case 9:
      if (kind_ == MessageKind::kResponse && reader_.EndUnseenBody()) {
        TakeEnd();
      }
      return;
    case 10:
      if (kind_ == MessageKind::kRequest && reader_.HasPartialHead()) {
        reader_.PromotePartialHead();
        TakeHead();
      }
      return;
    default:
      answers_ = static_cast<RequestMethod>(input.Byte() % 4);
  }
}

void Reading::Finish(bool in_order) {
  Result result = reader_.Finish(in_order);
  if (result == Result::kHead) {
    TakeHead();
    result = reader_.Finish(in_order);
  }
  PODTAP_CHECK(result == Result::kMore || result == Result::kMessageEnd);
  Take(result);
  CheckSums();
}

// Where nothing has to be inferred, what is read does not depend on how it was cut.
void CheckCuts(std::string_view text, MessageKind kind, const Reading& whole) {
  Reading cut(kind, HeadLimits(), true);
  for (size_t i = 0; i < text.size(); ++i) {
    cut.Text(text.substr(i, 1));
  }
  cut.Finish(true);
  PODTAP_CHECK(whole.inferred() == cut.inferred() || cut.inferred());
  if (!cut.inferred()) {
    PODTAP_CHECK(whole.log() == cut.log());
  }
}

void Run(Input input) {
  const uint8_t options = input.Byte();
  const MessageKind kind = (options & 1) != 0 ? MessageKind::kResponse : MessageKind::kRequest;
  if ((options & 8) != 0) {
    // Not a mark in it: one stretch of bytes.
    const std::string_view text = input.Text();
    Reading whole(kind, HeadLimits(), true);
    whole.Text(text);
    whole.Finish(true);
    return CheckCuts(text, kind, whole);
  }
  Reading reading(kind, (options & 4) != 0 ? kSmall : HeadLimits(), (options & 2) == 0);
  while (!input.empty()) {
    reading.Text(input.Text());
    if (!input.empty()) {
      reading.Apply(input.Byte(), input);
    }
  }
  reading.Finish((options & 16) == 0);
}

}  // namespace
}  // namespace podtap::http

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  podtap::http::Run({data, size});
  return 0;
}
