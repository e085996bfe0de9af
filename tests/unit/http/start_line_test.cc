#include "agent/http/start_line.h"

#include <string>

#include "gtest/gtest.h"

namespace podtap::http {
namespace {

TEST(StartLineTest, ReadsRequestLines) {
  const auto line = ParseRequestLine("M-SEARCH /a?b=c HTTP/1.0");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->method, "M-SEARCH");
  EXPECT_EQ(line->target, "/a?b=c");
  EXPECT_EQ(line->minor_version, 0);
  EXPECT_EQ(ParseRequestLine("GET /a b HTTP/1.1")->target, "/a b");
  EXPECT_EQ(ParseRequestLine("OPTIONS * HTTP/1.1")->target, "*");
}

TEST(StartLineTest, RefusesWhatIsNoRequestLine) {
  for (const char* line :
       {"", "GET", "GET /", "GET / HTTP/2.0", "GET / HTTP/1.", "GET / HTTP/1.10", "GET / http/1.1",
        "GET  HTTP/1.1", " GET / HTTP/1.1", "G(T / HTTP/1.1", "G\xc3\xa9T / HTTP/1.1",
        "PRI * HTTP/2.0", "HTTP/1.1 200 OK", "set key 0 0 5", "GET / HTTP/1.1 "}) {
    EXPECT_FALSE(ParseRequestLine(line)) << line;
  }
  EXPECT_FALSE(ParseRequestLine(std::string(kMaxMethodBytes + 1, 'G') + " / HTTP/1.1"));
  EXPECT_TRUE(ParseRequestLine(std::string(kMaxMethodBytes, 'G') + " / HTTP/1.1"));
}

TEST(StartLineTest, ReadsStatusLines) {
  EXPECT_EQ(ParseStatusLine("HTTP/1.1 200 OK")->status_code, 200);
  EXPECT_EQ(ParseStatusLine("HTTP/1.0 404")->status_code, 404);
  EXPECT_EQ(ParseStatusLine("HTTP/1.0 404")->minor_version, 0);
  EXPECT_EQ(ParseStatusLine("HTTP/1.1 599 ")->status_code, 599);
  EXPECT_EQ(ParseStatusLine("HTTP/1.1 999 odd")->status_code, 999);
}

TEST(StartLineTest, RefusesWhatIsNoStatusLine) {
  for (const char* line :
       {"", "HTTP/1.1", "HTTP/1.1 20", "HTTP/1.1 2XX", "HTTP/1.1 099 x", "HTTP/1.1  200",
        "HTTP/2 200", "HTTP/1.1 2000", "http/1.1 200 OK", "ICY 200 OK", "HTTP/1.x 200 OK"}) {
    EXPECT_FALSE(ParseStatusLine(line)) << line;
  }
}

TEST(StartLineTest, MayStartLooksAtWhatThereIs) {
  EXPECT_TRUE(MayStart(MessageKind::kRequest, "G"));
  EXPECT_TRUE(MayStart(MessageKind::kRequest, "*1"));
  EXPECT_FALSE(MayStart(MessageKind::kRequest, "\x16"));
  EXPECT_FALSE(MayStart(MessageKind::kRequest, "GET\r"));
  EXPECT_FALSE(MayStart(MessageKind::kRequest, " "));
  EXPECT_FALSE(MayStart(MessageKind::kRequest, std::string(kMaxMethodBytes + 1, 'a')));
  EXPECT_TRUE(MayStart(MessageKind::kResponse, "HT"));
  EXPECT_TRUE(MayStart(MessageKind::kResponse, "HTTP/1.1 500"));
  EXPECT_FALSE(MayStart(MessageKind::kResponse, "HTTP/2"));
  EXPECT_FALSE(MayStart(MessageKind::kResponse, "SSH"));
}

TEST(StartLineTest, LooksLikeStartWantsMore) {
  EXPECT_TRUE(LooksLikeStart(MessageKind::kRequest, "GET /"));
  EXPECT_FALSE(LooksLikeStart(MessageKind::kRequest, "GET"));
  EXPECT_FALSE(LooksLikeStart(MessageKind::kRequest, "GET "));
  EXPECT_FALSE(LooksLikeStart(MessageKind::kRequest, "a  b"));
  EXPECT_TRUE(LooksLikeStart(MessageKind::kResponse, "HTTP/1.1"));
  EXPECT_FALSE(LooksLikeStart(MessageKind::kResponse, "HTTP/1."));
}

}  // namespace
}  // namespace podtap::http
