#include "agent/http/message_reader.h"

#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace podtap::http {
namespace {

using reassembly::Piece;
using reassembly::PieceKind;
using Result = MessageReader::Result;
using ::testing::ElementsAre;

// Feeds a reader and writes down what it says.
class MessageReaderTest : public ::testing::Test {
 protected:
  void Make(MessageKind kind, bool synced = true) {
    kind_ = kind;
    reader_.emplace(kind, HeadLimits(), synced, counters_);
  }

  void Bytes(std::string_view text, bool starts = true, bool ends = true) {
    Piece piece;
    piece.kind = PieceKind::kBytes;
    piece.bytes = {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
    piece.size = text.size();
    piece.starts_segment = starts;
    piece.ends_segment = ends;
    Read(piece);
  }
  void Hole(uint64_t size, PieceKind kind = PieceKind::kNotCopied) {
    Piece piece;
    piece.kind = kind;
    piece.size = size;
    Read(piece);
  }
  void Lost(uint64_t size) { Hole(size, PieceKind::kLost); }

  void Read(Piece piece) {
    piece.position = position_;
    piece.time_ns = ++time_ns_;
    position_ += piece.size;
    Result result;
    while ((result = reader_->Read(&piece)) != Result::kMore) {
      Note(result);
    }
    EXPECT_EQ(piece.size, 0u);
    EXPECT_EQ(counters_.in_bytes, position_);
    EXPECT_EQ(counters_.in_bytes, counters_.head_bytes + counters_.body_bytes +
                                      counters_.blank_bytes + counters_.unframed_bytes +
                                      counters_.unsynced_bytes + counters_.not_http_bytes);
  }

  void Note(Result result) {
    switch (result) {
      case Result::kMore:
        break;
      case Result::kHead:
        if (kind_ == MessageKind::kRequest) {
          log_.push_back("head " + reader_->TakeRequest().target);
        } else {
          log_.push_back("head " + std::to_string(reader_->TakeResponse().status_code));
          reader_->SetResponseMethod(method_);
        }
        break;
      case Result::kMessageEnd: {
        const MessageEnd& end = reader_->message_end();
        std::string text =
            "end " + std::to_string(end.head_size) + "+" + std::to_string(end.body_size);
        if ((end.flags & Bit(MessageFlag::kGap)) != 0) text += " gap";
        if ((end.flags & Bit(MessageFlag::kHeadersTruncated)) != 0) text += " truncated";
        if ((end.flags & Bit(MessageFlag::kFramingInferred)) != 0) text += " inferred";
        if (!end.complete) text += " cut";
        log_.push_back(text);
        break;
      }
      case Result::kNotHttp:
        log_.push_back("not http");
        break;
      case Result::kDoubt:
        log_.push_back("doubt");
        break;
    }
  }

  ReaderCounters counters_;
  std::optional<MessageReader> reader_;
  MessageKind kind_ = MessageKind::kRequest;
  RequestMethod method_ = RequestMethod::kOther;
  uint64_t position_ = 0;
  int64_t time_ns_ = 0;
  std::vector<std::string> log_;
};

constexpr std::string_view kChunkedHead = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
constexpr std::string_view kChunkedEnd = "end 47+";

TEST_F(MessageReaderTest, HolesInBodiesOfKnownLengthAreFine) {
  Make(MessageKind::kRequest);
  Bytes("PUT /a HTTP/1.1\r\nContent-Length: 100\r\n\r\nab");
  Hole(90);
  Lost(4);
  Bytes("wxyzGET /b HTTP/1.1\r\n\r\n");
  EXPECT_THAT(log_, ElementsAre("head /a", "end 40+100 gap", "head /b", "end 19+0"));
}

TEST_F(MessageReaderTest, HoleUpToTheExactEndLeavesNoDoubt) {
  Make(MessageKind::kRequest);
  Bytes("PUT /a HTTP/1.1\r\nContent-Length: 100\r\n\r\n");
  Hole(100);
  Bytes("GET /b HTTP/1.1\r\n\r\n");
  EXPECT_THAT(log_, ElementsAre("head /a", "end 40+100", "head /b", "end 19+0"));
}

TEST_F(MessageReaderTest, HoleOverTheEndIsADoubt) {
  Make(MessageKind::kRequest);
  Bytes("PUT /a HTTP/1.1\r\nContent-Length: 100\r\n\r\n");
  Hole(101);
  Bytes("text at a segment start\r\n");
  Bytes("GET /b HTTP/1.1\r\n\r\n");
  EXPECT_THAT(log_, ElementsAre("head /a", "end 40+100", "doubt", "head /b", "end 19+0"));
}

TEST_F(MessageReaderTest, HeadInTheMiddleOfASegmentIsNotFound) {
  Make(MessageKind::kRequest, false);
  Bytes("x\r\nGET /b HTTP/1.1\r\n\r\n");
  Bytes("GET /c HTTP/1.1\r\n\r\n", false);
  EXPECT_TRUE(log_.empty());
  EXPECT_EQ(counters_.unsynced_bytes, position_);
}

TEST_F(MessageReaderTest, HoleInsideAChunkIsFine) {
  Make(MessageKind::kResponse);
  Bytes(kChunkedHead);
  Bytes("64\r\nab");
  Hole(98);
  Bytes("\r\n0\r\n\r\nHTTP/1.1 204 N\r\n\r\n");
  EXPECT_THAT(log_,
              ElementsAre("head 200", std::string(kChunkedEnd) + "111", "head 204", "end 18+0"));
  EXPECT_EQ(counters_.unframed_bytes, 0u);
}

TEST_F(MessageReaderTest, EndOfAChunkedBodyIsInferredFromTheTail) {
  Make(MessageKind::kResponse);
  Bytes(kChunkedHead);
  Bytes("64\r\nab");
  Hole(200);
  Bytes("text\r\n0\r\n\r\n", false, false);
  EXPECT_THAT(log_, ElementsAre("head 200")) << "not at the end of a segment";
  Bytes("more\r\n0\r\n\r\n", false, true);
  EXPECT_THAT(log_, ElementsAre("head 200", std::string(kChunkedEnd) + "228 inferred"));
  Bytes("HTTP/1.1 204 N\r\n\r\n");
  EXPECT_EQ(log_.back(), "end 18+0");
  EXPECT_EQ(counters_.unframed_bytes, 222u);
}

TEST_F(MessageReaderTest, LastChunkMayComeInPieces) {
  Make(MessageKind::kResponse);
  Bytes(kChunkedHead);
  Bytes("64\r\nab");
  Hole(200);
  Bytes("text\r\n", false, true);
  Bytes("0\r");
  Bytes("\n\r\n");
  EXPECT_EQ(log_.back(), std::string(kChunkedEnd) + "217 inferred");
}

TEST_F(MessageReaderTest, TrailersMayFollowTheLastChunk) {
  Make(MessageKind::kResponse);
  Bytes(kChunkedHead);
  Hole(200);
  Bytes("text\r\n0\r\nA: b\r\n\r\n", false, true);
  EXPECT_EQ(log_.back(), std::string(kChunkedEnd) + "217 inferred");
}

TEST_F(MessageReaderTest, PeerThatMovedOnEndsLostFraming) {
  Make(MessageKind::kRequest);
  Bytes("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n");
  Hole(100);
  Bytes("GET /text HTTP/1.1\r\n\r\n");
  EXPECT_THAT(log_, ElementsAre("head /a", "doubt"));
  reader_->SetPeerMovedOn(true);
  Bytes("GET seems like it\r\n");
  Bytes("GET /b HTTP/1.1\r\n\r\n");
  EXPECT_THAT(
      log_, ElementsAre("head /a", "doubt", "end 48+144 inferred", "head /b", "end 19+0 inferred"));
}

TEST_F(MessageReaderTest, LossInAHeadKeepsWhatThereIs) {
  Make(MessageKind::kResponse);
  Bytes("HTTP/1.1 404 Not Found\r\nA: b\r\nContent-");
  Lost(20);
  Bytes("rest");
  EXPECT_THAT(log_, ElementsAre("head 404"));
  EXPECT_TRUE(reader_->EndUnframed());
  Note(Result::kMessageEnd);
  EXPECT_EQ(log_.back(), "end 38+24 gap truncated inferred");
}

TEST_F(MessageReaderTest, LossInAStartLineIsADoubt) {
  Make(MessageKind::kRequest);
  Bytes("GET /a HT");
  Lost(20);
  Bytes("GET /b HTTP/1.1\r\n\r\n");
  EXPECT_THAT(log_, ElementsAre("doubt", "head /b", "end 19+0"));
  EXPECT_EQ(counters_.incomplete_heads, 1u);
}

TEST_F(MessageReaderTest, LargeRequestHeadWithItsMiddleNotCopied) {
  Make(MessageKind::kRequest);
  Bytes("GET /a HTTP/1.1\r\nCookie: ", true, false);
  Hole(30'000);
  Bytes("x\r\nA: b\r\n\r\n", false, true);
  Bytes("GET /b HTTP/1.1\r\n\r\n");
  EXPECT_THAT(log_,
              ElementsAre("head /a", "end 30036+0 truncated inferred", "head /b", "end 19+0"));
}

TEST_F(MessageReaderTest, NotHttpWhereAMessageHasToStart) {
  Make(MessageKind::kRequest);
  Bytes("GET /a HTTP/1.1\r\n\r\n\x16\x03\x01");
  Bytes("GET /b HTTP/1.1\r\n\r\n");
  EXPECT_THAT(log_, ElementsAre("head /a", "end 19+0", "not http"));
  EXPECT_EQ(counters_.not_http_bytes, 22u);
}

TEST_F(MessageReaderTest, GuessedHeadsThatFailAreSearchedOn) {
  Make(MessageKind::kRequest, false);
  Bytes("GET well soon\r\n");
  Bytes("POST with space in it HTTP/1.1\r\n\r\n");
  EXPECT_FALSE(reader_->in_message());
  Bytes("GET /a HTTP/1.1\r\n\r\n");
  EXPECT_THAT(log_, ElementsAre("head /a", "end 19+0"));
}

TEST_F(MessageReaderTest, EndOfTheStreamEndsWhatWasRead) {
  Make(MessageKind::kResponse);
  Bytes("HTTP/1.1 200 OK\r\n\r\nabc");
  Hole(10);
  Note(reader_->Finish(true));
  EXPECT_THAT(log_, ElementsAre("head 200", "end 19+13"));

  log_.clear();
  position_ = 0;
  counters_ = ReaderCounters();
  Make(MessageKind::kResponse);
  Bytes("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc");
  Note(reader_->Finish(true));
  EXPECT_THAT(log_, ElementsAre("head 200", "end 38+3 cut"));
}

TEST_F(MessageReaderTest, UnseenHeadResponseEndsWhenTheClientGoesOn) {
  Make(MessageKind::kResponse, false);
  method_ = RequestMethod::kUnknown;
  Bytes("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
  EXPECT_TRUE(reader_->EndUnseenBody());
  Bytes("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na");
  EXPECT_FALSE(reader_->EndUnseenBody()) << "a byte of the body was seen";
}

TEST_F(MessageReaderTest, SaysWhatIsNotNeeded) {
  Make(MessageKind::kResponse);
  Bytes("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nab");
  EXPECT_EQ(reader_->not_needed_until(), 40u + 500u);
  Hole(498);
  EXPECT_EQ(reader_->not_needed_until(), 0u);
  Bytes(kChunkedHead);
  Bytes("100\r\nab");
  EXPECT_EQ(reader_->not_needed_until(), position_ + 254);
}

}  // namespace
}  // namespace podtap::http
