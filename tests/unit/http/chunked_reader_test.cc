#include "agent/http/chunked_reader.h"

#include <string>
#include <string_view>

#include "gtest/gtest.h"

namespace podtap::http {
namespace {

using State = ChunkedReader::State;

// Reads whole and byte by byte; both must agree. Returns the bytes taken.
size_t ReadAll(std::string_view bytes, State expected) {
  ChunkedReader whole;
  const size_t taken = whole.Read(bytes);
  EXPECT_EQ(whole.state(), expected) << bytes;
  ChunkedReader single;
  size_t taken_singly = 0;
  for (const char& c : bytes) {
    const size_t one = single.Read(std::string_view(&c, 1));
    taken_singly += one;
    if (one == 0) {
      break;
    }
  }
  EXPECT_EQ(single.state(), expected) << bytes;
  EXPECT_EQ(taken, taken_singly) << bytes;
  return taken;
}

TEST(ChunkedReaderTest, ReadsToTheEndAndNoFurther) {
  const std::string body = "5\r\nhello\r\nA \t;x=\"y;\"\r\n0123456789\r\n000\r\n\r\n";
  EXPECT_EQ(ReadAll(body + "GET / HTTP/1.1\r\n", State::kDone), body.size());
}

TEST(ChunkedReaderTest, SkipsTrailers) {
  const std::string body = "0\r\nA: b\r\n c\r\nD: e\r\n\r\n";
  EXPECT_EQ(ReadAll(body + "x", State::kDone), body.size());
}

TEST(ChunkedReaderTest, AcceptsBareLineFeeds) {
  EXPECT_EQ(ReadAll("2\nab\n0\n\n", State::kDone), 8u);
}

TEST(ChunkedReaderTest, DataMayLookLikeAnything) {
  const std::string body = "7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n";
  EXPECT_EQ(ReadAll(body, State::kDone), body.size());
}

TEST(ChunkedReaderTest, StopsWhereItMakesNoSense) {
  EXPECT_EQ(ReadAll("xyz", State::kBroken), 0u);
  EXPECT_EQ(ReadAll("\r\n", State::kBroken), 0u);
  EXPECT_EQ(ReadAll("3\r\nabcd\r\n", State::kBroken), 6u);
  EXPECT_EQ(ReadAll("5x\r\n", State::kBroken), 1u);
  EXPECT_EQ(ReadAll("-1\r\n", State::kBroken), 0u);
  ReadAll("fffffffffffffffff\r\n", State::kBroken);
  ReadAll("10000000000000000\r\n", State::kBroken);
}

TEST(ChunkedReaderTest, SkipsDataWithoutBytes) {
  ChunkedReader reader;
  reader.Read("10\r\nab");
  EXPECT_EQ(reader.data_left(), 14u);
  reader.SkipData(14);
  EXPECT_EQ(reader.data_left(), 0u);
  EXPECT_EQ(reader.Read("\r\n0\r\n\r\n"), 7u);
  EXPECT_EQ(reader.state(), State::kDone);
}

}  // namespace
}  // namespace podtap::http
