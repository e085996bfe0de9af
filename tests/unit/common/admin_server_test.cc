#include "common/admin_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <future>
#include <string>
#include <vector>

#include "tests/support/wait.h"

namespace podtap {
namespace {

using std::chrono::milliseconds;
using ::testing::EndsWith;
using ::testing::StartsWith;

constexpr char kGetHealth[] = "GET /healthz HTTP/1.1\r\n\r\n";
constexpr char kGetLarge[] = "GET /large HTTP/1.1\r\n\r\n";
// More than the sockets' buffers take.
constexpr size_t kLargeBytes = 64 << 20;

class Client {
 public:
  explicit Client(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const timeval timeout{.tv_sec = 20, .tv_usec = 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
  }

  bool Send(const std::string& bytes) {
    return ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  // Everything up to the end of the connection.
  std::string ReadAll() {
    std::string all;
    char bytes[65'536];
    ssize_t count;
    while ((count = ::recv(socket_.get(), bytes, sizeof(bytes), 0)) > 0) {
      all.append(bytes, static_cast<size_t>(count));
    }
    return count == 0 || errno == ECONNRESET ? all : all + "(timeout)";
  }
  // Waits until the answer begins, and takes none of it.
  bool WaitForAnswer() {
    char byte;
    return ::recv(socket_.get(), &byte, 1, MSG_PEEK) == 1;
  }

 private:
  UniqueFd socket_;
};

class AdminServerTest : public ::testing::Test {
 protected:
  void Start(AdminLimits limits = {}) {
    auto server =
        AdminServer::Listen({.host = "127.0.0.1", .port = 0, .is_loopback = true}, limits);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    server_->Start({{.path = "/healthz",
                     .render =
                         [] {
                           return AdminReply{200, "ok\n"};
                         }},
                    {.path = "/large",
                     .render =
                         [] {
                           return AdminReply{200, std::string(kLargeBytes, 'x')};
                         },
                     .is_large = true}});
  }

  Client Connect() { return Client(server_->address().port); }
  std::string Ask(const std::string& request) {
    Client client = Connect();
    client.Send(request);
    return client.ReadAll();
  }

  std::unique_ptr<AdminServer> server_;
};

TEST_F(AdminServerTest, AnswersAndCloses) {
  Start();
  EXPECT_THAT(Ask(kGetHealth), EndsWith("\r\n\r\nok\n"));
  EXPECT_THAT(Ask("POST /healthz HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"),
              StartsWith("HTTP/1.1 405 "));
  EXPECT_EQ(Ask(kGetLarge).size() / kLargeBytes, 1U);
}

TEST_F(AdminServerTest, TakesARequestInPieces) {
  Start();
  Client client = Connect();
  for (const char byte : std::string(kGetHealth)) {
    ASSERT_TRUE(client.Send(std::string(1, byte)));
  }
  EXPECT_THAT(client.ReadAll(), EndsWith("ok\n"));
}

TEST_F(AdminServerTest, APortThatIsTakenIsAnError) {
  Start();
  const auto second = AdminServer::Listen(server_->address());
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(second.status().message()),
              ::testing::AllOf(::testing::HasSubstr(server_->address().ToString()),
                               ::testing::HasSubstr("in use")));
  EXPECT_FALSE(AdminServer::Listen({.host = "192.0.2.1", .port = 0}).ok());
  EXPECT_FALSE(AdminServer::Listen({.host = "no-such-host.invalid", .port = 0}).ok());
}

TEST_F(AdminServerTest, ThePortIsFreeAgainAfterwards) {
  Start();
  const HostPort address = server_->address();
  EXPECT_THAT(Ask(kGetHealth), EndsWith("ok\n"));
  server_.reset();
  EXPECT_TRUE(AdminServer::Listen(address).ok());
}

TEST_F(AdminServerTest, AHeadThatIsTooLongIsRefused) {
  Start({.max_head_bytes = 2048});
  EXPECT_THAT(Ask("GET /healthz HTTP/1.1\r\nX: " + std::string(4096, 'x')),
              StartsWith("HTTP/1.1 431 "));
}

TEST_F(AdminServerTest, WhoDoesNotAskInTimeIsSentAway) {
  Start({.head_time = milliseconds(50)});
  Client silent = Connect();
  Client half = Connect();
  half.Send("GET /healthz HTT");
  EXPECT_EQ(silent.ReadAll(), "");
  EXPECT_EQ(half.ReadAll(), "");
}

TEST_F(AdminServerTest, SlowAskersDoNotKeepProbesOut) {
  // They could stay for an hour.
  Start({.max_waiting = 8, .head_time = std::chrono::hours(1)});
  std::vector<Client> slow;
  for (int i = 0; i < 40; ++i) {
    slow.push_back(Connect());
    slow.back().Send("GET /healthz HTTP/1.1\r\nX: ");
    EXPECT_THAT(Ask(kGetHealth), EndsWith("ok\n")) << i;
  }
  // Those who came first had to go.
  EXPECT_EQ(slow.front().ReadAll(), "");
}

TEST_F(AdminServerTest, SlowReadersDoNotKeepProbesOut) {
  Start({.send_time = std::chrono::hours(1), .workers = 2});
  Client reader = Connect();
  reader.Send(kGetLarge);
  ASSERT_TRUE(reader.WaitForAnswer());
  // The other worker is kept free of large pages.
  EXPECT_THAT(Ask(kGetLarge), StartsWith("HTTP/1.1 503 "));
  EXPECT_THAT(Ask(kGetHealth), EndsWith("ok\n"));
  // Stopping does not wait for the reader either.
  const auto before = std::chrono::steady_clock::now();
  server_->Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(10));
}

TEST_F(AdminServerTest, ASlowReaderIsSentAwayInTheEnd) {
  Start({.send_time = milliseconds(50), .workers = 2});
  Client reader = Connect();
  reader.Send(kGetLarge);
  ASSERT_TRUE(reader.WaitForAnswer());
  EXPECT_TRUE(podtap::testing::WaitUntil([&] { return Ask(kGetLarge).size() > 1000; }));
  EXPECT_LT(reader.ReadAll().size(), kLargeBytes);
}

TEST_F(AdminServerTest, ManyAtOnceAreAllAnswered) {
  Start();
  std::vector<std::future<int>> askers;
  for (int i = 0; i < 8; ++i) {
    askers.push_back(std::async(std::launch::async, [this] {
      int good = 0;
      for (int j = 0; j < 50; ++j) {
        const std::string answer = Ask(kGetHealth);
        good += answer.find("ok\n") != std::string::npos ? 1 : 0;
      }
      return good;
    }));
  }
  for (std::future<int>& asker : askers) {
    EXPECT_EQ(asker.get(), 50);
  }
}

TEST_F(AdminServerTest, StopsWithoutEverHavingStarted) {
  auto server = AdminServer::Listen({.host = "localhost", .port = 0, .is_loopback = true});
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_NE((*server)->address().port, 0);
}

}  // namespace
}  // namespace podtap
