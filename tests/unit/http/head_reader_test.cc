#include "agent/http/head_reader.h"

#include <string>
#include <string_view>

#include "gtest/gtest.h"

namespace podtap::http {
namespace {

using Result = HeadReader::Result;

constexpr HeadLimits kLimits = {64, 3};

// Reads `head` in pieces of `step` bytes.
Result ReadIn(HeadReader* reader, std::string_view head, size_t step) {
  Result result = Result::kMore;
  for (size_t at = 0; at < head.size() && result == Result::kMore; at += step) {
    const std::string_view piece = head.substr(at, step);
    size_t taken = 0;
    result = reader->Read(piece, &taken);
    EXPECT_TRUE(result != Result::kMore || taken == piece.size());
  }
  return result;
}

TEST(HeadReaderTest, SplitsFields) {
  for (size_t step = 1; step < 60; ++step) {
    HeadReader reader(MessageKind::kRequest, HeadLimits());
    ASSERT_EQ(ReadIn(&reader,
                     "PUT /x HTTP/1.1\r\nHost:a\r\nEmpty:\r\nFolded: one\r\n two \r\n"
                     "Spaced :  v  \r\nno colon\r\n\r\n",
                     step),
              Result::kComplete);
    const RequestHead head = reader.TakeRequest();
    EXPECT_EQ(head.method, "PUT");
    EXPECT_EQ(head.target, "/x");
    ASSERT_EQ(head.headers.size(), 4u);
    EXPECT_EQ(head.headers[0].name, "Host");
    EXPECT_EQ(head.headers[0].value, "a");
    EXPECT_EQ(head.headers[1].value, "");
    EXPECT_EQ(head.headers[2].value, "one\r\n two");
    EXPECT_EQ(head.headers[3].name, "Spaced");
    EXPECT_EQ(head.headers[3].value, "v");
    EXPECT_EQ(head.headers.Find("HOST"), "a");
    EXPECT_EQ(head.headers.Find("none"), std::nullopt);
    EXPECT_FALSE(reader.truncated());
  }
}

TEST(HeadReaderTest, TakesNoByteBehindTheHead) {
  HeadReader reader(MessageKind::kResponse, HeadLimits());
  size_t taken = 0;
  EXPECT_EQ(reader.Read("HTTP/1.1 200 OK\r\n\r\nbody", &taken), Result::kComplete);
  EXPECT_EQ(taken, 19u);
  EXPECT_EQ(reader.TakeResponse().status_code, 200);
}

TEST(HeadReaderTest, LongHeadsAreReadOnForTheirFraming) {
  const std::string head = "POST /x HTTP/1.1\r\nA: " + std::string(30, 'a') +
                           "\r\nB: " + std::string(500, 'b') +
                           "\r\nC: c\r\ncontent-length:\r\n 42\r\n\r\n";
  for (size_t step = 1; step < head.size(); step += 7) {
    HeadReader reader(MessageKind::kRequest, kLimits);
    ASSERT_EQ(ReadIn(&reader, head, step), Result::kComplete);
    EXPECT_TRUE(reader.truncated());
    EXPECT_EQ(reader.framing().ForRequest(1).length, 42u);
    const RequestHead request = reader.TakeRequest();
    EXPECT_EQ(request.target, "/x");
    ASSERT_EQ(request.headers.size(), 1u);
    EXPECT_EQ(request.headers[0].name, "A");
    EXPECT_EQ(request.headers.raw().size(), 64u);
  }
}

// The limit falls on every byte of a folded framing field.
TEST(HeadReaderTest, FramingFieldAcrossTheLimit) {
  for (size_t pad = 0; pad < 64; ++pad) {
    const std::string head = "POST / HTTP/1.1\r\nA:" + std::string(pad, 'a') +
                             "\r\nTransfer-Encoding:\r\n gzip,\r\n\tchunked\r\n\r\n";
    HeadReader reader(MessageKind::kRequest, kLimits);
    ASSERT_EQ(ReadIn(&reader, head, 5), Result::kComplete);
    const BodyFraming framing = reader.framing().ForRequest(1);
    EXPECT_EQ(framing.kind, BodyKind::kChunked) << pad;
    EXPECT_FALSE(framing.ambiguous) << pad;
  }
}

TEST(HeadReaderTest, TooManyFields) {
  HeadReader reader(MessageKind::kResponse, {1000, 3});
  ASSERT_EQ(
      ReadIn(&reader, "HTTP/1.1 200\r\nA:1\r\nB:2\r\nC:3\r\nD:4\r\nContent-Length:7\r\n\r\n", 9),
      Result::kComplete);
  EXPECT_TRUE(reader.truncated());
  EXPECT_EQ(reader.framing().ForResponse(1, 200, RequestMethod::kOther).length, 7u);
  EXPECT_EQ(reader.TakeResponse().headers.size(), 3u);
}

TEST(HeadReaderTest, StartLineOverTheLimit) {
  const std::string head = "GET /" + std::string(5000, 'x') + " HTTP/1.0\r\nHost: h\r\n\r\n";
  for (const size_t step : {1, 3, 64, 6000}) {
    HeadReader reader(MessageKind::kRequest, kLimits);
    ASSERT_EQ(ReadIn(&reader, head, step), Result::kComplete);
    EXPECT_TRUE(reader.truncated());
    const RequestHead request = reader.TakeRequest();
    EXPECT_EQ(request.method, "GET");
    EXPECT_EQ(request.target, "/" + std::string(59, 'x'));
    EXPECT_EQ(request.minor_version, 0);
  }
  HeadReader reader(MessageKind::kRequest, kLimits);
  EXPECT_EQ(ReadIn(&reader, "GET /" + std::string(5000, 'x') + " SMTP\r\n\r\n", 100),
            Result::kInvalid);
}

TEST(HeadReaderTest, InvalidAsSoonAsItCanBeKnown) {
  HeadReader reader(MessageKind::kRequest, HeadLimits());
  size_t taken = 0;
  EXPECT_EQ(reader.Read("G", &taken), Result::kMore);
  EXPECT_EQ(reader.Read("\x01", &taken), Result::kInvalid);
  reader.Reset();
  EXPECT_EQ(reader.Read("PING\r\n", &taken), Result::kInvalid);
}

TEST(HeadReaderTest, PartOfAHeadCanBeTaken) {
  HeadReader reader(MessageKind::kRequest, HeadLimits());
  ASSERT_EQ(ReadIn(&reader, "POST /slow HTTP/1.1\r\nHost: h\r\nContent-Len", 100), Result::kMore);
  ASSERT_TRUE(reader.start_line_valid());
  const RequestHead head = reader.TakeRequest();
  EXPECT_EQ(head.target, "/slow");
  EXPECT_EQ(head.headers.Find("host"), "h");
  ASSERT_EQ(ReadIn(&reader, "gth: 5\r\n\r\n", 1), Result::kComplete);
  EXPECT_EQ(reader.framing().ForRequest(1).length, 5u);
}

}  // namespace
}  // namespace podtap::http
