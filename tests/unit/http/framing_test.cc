// RFC 9112 section 6.3, rule by rule.
#include "agent/http/framing.h"

#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace podtap::http {

bool operator==(const BodyFraming& a, const BodyFraming& b) {
  return a.kind == b.kind && a.ambiguous == b.ambiguous &&
         (a.kind != BodyKind::kLength || a.length == b.length);
}

void PrintTo(const BodyFraming& framing, std::ostream* out) {
  *out << "kind " << static_cast<int>(framing.kind) << " length " << framing.length
       << (framing.ambiguous ? " ambiguous" : "");
}

namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

FramingFields Gather(const Fields& fields) {
  FramingFields framing;
  for (const auto& [name, value] : fields) {
    framing.Add(name, value);
  }
  return framing;
}

BodyFraming Request(const Fields& fields, uint8_t minor_version = 1) {
  return Gather(fields).ForRequest(minor_version);
}

BodyFraming Response(const Fields& fields, uint16_t status = 200,
                     RequestMethod method = RequestMethod::kOther) {
  return Gather(fields).ForResponse(1, status, method);
}

constexpr BodyFraming kNone = {BodyKind::kNone};
constexpr BodyFraming kChunked = {BodyKind::kChunked};
constexpr BodyFraming kChunkedAmbiguous = {BodyKind::kChunked, 0, true};
constexpr BodyFraming kUnknownAmbiguous = {BodyKind::kUnknown, 0, true};
constexpr BodyFraming kUntilClose = {BodyKind::kUntilClose};

TEST(FramingTest, WithoutFields) {
  EXPECT_EQ(Request({}), kNone);
  EXPECT_EQ(Response({}), kUntilClose);
}

TEST(FramingTest, BodilessResponses) {
  const Fields length = {{"Content-Length", "9"}};
  EXPECT_EQ(Response(length, 200, RequestMethod::kHead), kNone);
  EXPECT_EQ(Response(length, 100), kNone);
  EXPECT_EQ(Response(length, 204), kNone);
  EXPECT_EQ(Response(length, 304), kNone);
  EXPECT_EQ(Response(length, 200, RequestMethod::kConnect), kNone);
  EXPECT_EQ(Response(length, 299, RequestMethod::kConnect), kNone);
  EXPECT_EQ(Response(length, 407, RequestMethod::kConnect), (BodyFraming{BodyKind::kLength, 9}));
  EXPECT_EQ(Response(length, 205), (BodyFraming{BodyKind::kLength, 9}));
}

TEST(FramingTest, ContentLength) {
  EXPECT_EQ(Request({{"content-LENGTH", " 12\t"}}), (BodyFraming{BodyKind::kLength, 12}));
  EXPECT_EQ(Request({{"Content-Length", "0"}}), kNone);
  EXPECT_EQ(Response({{"Content-Length", "0"}}), kNone);
  EXPECT_EQ(Request({{"Content-Length", "9223372036854775807"}}),
            (BodyFraming{BodyKind::kLength, 9223372036854775807u}));
  EXPECT_EQ(Request({{"Content-Length", "5, 5"}}), (BodyFraming{BodyKind::kLength, 5, true}));
  EXPECT_EQ(Request({{"Content-Length", "5"}, {"Content-Length", "5"}}),
            (BodyFraming{BodyKind::kLength, 5, true}));
}

TEST(FramingTest, InvalidContentLength) {
  for (const char* value : {"", "-1", "+1", "1.0", "0x10", "1 1", "5,", "5, 6", "ten",
                            "9223372036854775808", "18446744073709551616", "1e3"}) {
    EXPECT_EQ(Request({{"Content-Length", value}}), kUnknownAmbiguous) << value;
    EXPECT_EQ(Response({{"Content-Length", value}}), kUnknownAmbiguous) << value;
  }
  EXPECT_EQ(Request({{"Content-Length", "5"}, {"Content-Length", "6"}}), kUnknownAmbiguous);
}

TEST(FramingTest, TransferEncoding) {
  EXPECT_EQ(Request({{"Transfer-Encoding", "chunked"}}), kChunked);
  EXPECT_EQ(Request({{"transfer-encoding", "gzip , CHUNKED "}}), kChunked);
  EXPECT_EQ(Request({{"Transfer-Encoding", "gzip"}, {"Transfer-Encoding", "chunked"}}), kChunked);
  EXPECT_EQ(Request({{"Transfer-Encoding", "\r\n chunked\r\n"}}), kChunked);
  EXPECT_EQ(Response({{"Transfer-Encoding", "gzip"}}), kUntilClose);
  EXPECT_EQ(Request({{"Transfer-Encoding", "gzip"}}), kUnknownAmbiguous);
  EXPECT_EQ(Request({{"Transfer-Encoding", "chunked, gzip"}}), kUnknownAmbiguous);
  EXPECT_EQ(Request({{"Transfer-Encoding", "chunked, chunked"}}), kChunkedAmbiguous);
  EXPECT_EQ(Request({{"Transfer-Encoding", "xchunked"}}), kUnknownAmbiguous);
  EXPECT_EQ(Request({{"Transfer-Encoding", "chunked;q=1"}}), kUnknownAmbiguous);
}

TEST(FramingTest, SmugglingShapes) {
  EXPECT_EQ(Request({{"Content-Length", "6"}, {"Transfer-Encoding", "chunked"}}),
            kChunkedAmbiguous);
  EXPECT_EQ(Response({{"Transfer-Encoding", "chunked"}, {"Content-Length", "6"}}),
            kChunkedAmbiguous);
  EXPECT_EQ(Request({{"Transfer-Encoding", "chunked"}}, 0), kChunkedAmbiguous);
  EXPECT_EQ(Request({{"Transfer-Encoding ", "chunked"}}), kChunkedAmbiguous);
  EXPECT_EQ(Request({{"Content-Length\t", "4"}}), (BodyFraming{BodyKind::kLength, 4, true}));
  EXPECT_EQ(Request({{"X-Content-Length", "4"}, {"Content-Lengthy", "4"}}), kNone);
}

}  // namespace
}  // namespace podtap::http
