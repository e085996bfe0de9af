#include "common/http_answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace podtap {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class AnswerRequestTest : public testing::Test {
 protected:
  std::string Ask(const std::string& head) {
    return AnswerRequest(head, pages_, [this](const AdminPage& page) {
      ++rendered_;
      return page.render();
    });
  }
  std::string AskLine(const std::string& line) { return Ask(line + "\r\nHost: x\r\n\r\n"); }

  const std::vector<AdminPage> pages_ = {{.path = "/healthz",
                                          .render =
                                              [] {
                                                return AdminReply{200, "ok\n"};
                                              }},
                                         {.path = "/readyz", .render = [] {
                                            return AdminReply{503, "not yet\n"};
                                          }}};
  int rendered_ = 0;
};

TEST_F(AnswerRequestTest, GivesThePage) {
  for (const char* line :
       {"GET /healthz HTTP/1.1", "GET /healthz HTTP/1.0", "GET /healthz?verbose=1 HTTP/1.1"}) {
    const std::string answer = AskLine(line);
    EXPECT_THAT(answer, AllOf(StartsWith("HTTP/1.1 200 "), HasSubstr("Connection: close\r\n"),
                              HasSubstr("Content-Length: 3\r\n"), EndsWith("\r\n\r\nok\n")));
  }
  EXPECT_THAT(AskLine("GET /readyz HTTP/1.1"),
              AllOf(StartsWith("HTTP/1.1 503 "), EndsWith("\r\n\r\nnot yet\n")));
}

TEST_F(AnswerRequestTest, HeadHasNoBody) {
  EXPECT_THAT(
      AskLine("HEAD /healthz HTTP/1.1"),
      AllOf(StartsWith("HTTP/1.1 200 "), HasSubstr("Content-Length: 3\r\n"), EndsWith("\r\n\r\n")));
}

TEST_F(AnswerRequestTest, RefusesOtherMethods) {
  for (const char* method : {"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"}) {
    EXPECT_THAT(AskLine(std::string(method) + " /healthz HTTP/1.1"),
                AllOf(StartsWith("HTTP/1.1 405 "), HasSubstr("Allow: GET, HEAD\r\n")))
        << method;
  }
  EXPECT_EQ(rendered_, 0);
}

TEST_F(AnswerRequestTest, KnowsNoOtherPath) {
  for (const char* path : {"/", "/healthz/", "/HEALTHZ", "/../healthz", "//healthz", "/healthz%00",
                           "/%2e%2e/etc/passwd", "*", "/healthz;x"}) {
    EXPECT_THAT(AskLine(std::string("GET ") + path + " HTTP/1.1"), StartsWith("HTTP/1.1 404 "))
        << path;
  }
  EXPECT_THAT(AskLine("POST /none HTTP/1.1"), StartsWith("HTTP/1.1 404 "));
  EXPECT_EQ(rendered_, 0);
}

TEST_F(AnswerRequestTest, RefusesWhatIsNoRequest) {
  for (const char* head : {"\r\n\r\n", "x\r\n\r\n", "GET\r\n\r\n", "GET /healthz\r\n\r\n",
                           "GET /healthz HTTP/2.0\r\n\r\n", "\x16\x03\x01\x02\r\n\r\n", ""}) {
    EXPECT_THAT(Ask(head), Not(HasSubstr(" 200 "))) << head;
  }
  EXPECT_EQ(rendered_, 0);
}

TEST_F(AnswerRequestTest, NoHeaderFieldChangesTheAnswer) {
  const std::string plain = AskLine("GET /healthz HTTP/1.1");
  for (const char* field :
       {"Range: bytes=0-0,0-0,0-0,0-0", "Accept-Encoding: gzip, br", "Expect: 100-continue",
        "Connection: keep-alive", "Content-Length: 99999999", "Transfer-Encoding: chunked"}) {
    EXPECT_EQ(Ask(std::string("GET /healthz HTTP/1.1\r\n") + field + "\r\n\r\n"), plain) << field;
  }
  EXPECT_EQ(Ask("GET /healthz HTTP/1.1\r\nRange: bytes=" + std::string(7000, '1') + "-\r\n\r\n"),
            plain);
}

TEST_F(AnswerRequestTest, RepeatsNothingOfTheRequest) {
  for (const char* line : {"GET /canary HTTP/1.1", "canary /healthz HTTP/1.1",
                           "GET /healthz?canary HTTP/1.1", "GET /healthz canary"}) {
    EXPECT_THAT(Ask(std::string(line) + "\r\nHost: canary\r\nCookie: canary\r\n\r\n"),
                Not(HasSubstr("canary")))
        << line;
  }
}

}  // namespace
}  // namespace podtap
