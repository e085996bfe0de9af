// What is asked of container engines, and what becomes of any answer.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <cstring>
#include <functional>
#include <mutex>
#include <thread>

#include "agent/discovery/proc/engine_names.h"
#include "agent/discovery/proc/proc_source.h"
#include "tests/support/temp_dir.h"
#include "tests/support/wait.h"
#include "tests/unit/discovery/fake_proc.h"

namespace podtap::discovery::proc {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using testing::WaitUntil;

const std::string kId(64, 'd');
constexpr EngineLimits kLimits{.deadline = milliseconds(300), .max_bytes = 10'000};

std::string Answer(const std::string& body) {
  return "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n" + body;
}

std::string ListOf(const std::string& id, const std::string& name, const std::string& image) {
  return R"([{"Id":")" + id + R"(","Names":["/)" + name + R"(","/other/alias"],"Image":")" + image +
         R"(","Labels":{"Id":"x","Names":["y"]},"Ports":[{"Image":"z"}]}])";
}

// An engine that gives to each caller what it is told to give.
class FakeEngine {
 public:
  explicit FakeEngine(std::string path) : path_(std::move(path)) {
    listener_ = UniqueFd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    std::memcpy(address.sun_path, path_.data(), path_.size());
    EXPECT_EQ(::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::listen(listener_.get(), 16), 0);
    thread_ = std::thread([this] { Run(); });
  }
  ~FakeEngine() {
    stopping_ = true;
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
    ::unlink(path_.c_str());
  }
  FakeEngine(const FakeEngine&) = delete;
  FakeEngine& operator=(const FakeEngine&) = delete;

  void Say(std::string answer) {
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
  }
  // Keeps each connection open after the answer, and sends a byte of it at a time.
  void Hang() { hangs_ = true; }
  int calls() const { return calls_; }
  std::string request() {
    const std::lock_guard lock(mutex_);
    return request_;
  }

 private:
  void Run() {
    while (!stopping_) {
      const UniqueFd caller(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      char buffer[1024];
      if (!caller.valid()) {
        continue;
      }
      const ssize_t size = ::recv(caller.get(), buffer, sizeof(buffer), 0);
      std::string answer;
      {
        const std::lock_guard lock(mutex_);
        request_.assign(buffer, static_cast<size_t>(std::max<ssize_t>(size, 0)));
        answer = answer_;
      }
      ++calls_;
      Send(caller.get(), answer);
    }
  }
  void Send(int caller, const std::string& answer) {
    if (!hangs_) {
      ::send(caller, answer.data(), answer.size(), MSG_NOSIGNAL);
      return;
    }
    for (size_t i = 0; !stopping_; ++i) {
      const char byte = i < answer.size() ? answer[i] : ' ';
      if (::send(caller, &byte, 1, MSG_NOSIGNAL) < 0) {
        return;
      }
      pollfd wait{.fd = caller, .events = 0, .revents = 0};
      ::poll(&wait, 1, 10);
    }
  }

  const std::string path_;
  UniqueFd listener_;
  std::mutex mutex_;
  std::string answer_;
  std::string request_;
  std::atomic<bool> hangs_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<int> calls_{0};
  std::thread thread_;
};

TEST(EngineListTest, TakesIdNameAndImageWhereverTheyStand) {
  const auto list = ParseEngineList(ListOf(kId, "web", "shop/web:1"));
  ASSERT_TRUE(list);
  ASSERT_THAT(*list, SizeIs(1));
  EXPECT_EQ(list->at(kId), (Container{.name = "web", .image = "shop/web:1"}));
  const auto turned =
      ParseEngineList(R"([{"Image":"i","Names":["/n"],"Id":"a"},{"Id":"b"},{"Names":["/c"]},{}])");
  ASSERT_TRUE(turned);
  EXPECT_EQ(*turned, (EngineList{{"a", {.name = "n", .image = "i"}}, {"b", {}}}));
  EXPECT_THAT(*ParseEngineList("[]"), IsEmpty());
}

TEST(EngineListTest, GarbageIsNoList) {
  const std::string deep(100'000, '[');
  for (const std::string& text :
       {std::string(), std::string("{}"), std::string("null"), std::string("1"),
        std::string("\"a\""), std::string("[{"), std::string("[{\"Id\":\"a\"}"), std::string("[]x"),
        std::string("\xff\xff"), std::string("{\"message\":\"no\"}"), deep,
        deep + std::string(100'000, ']')}) {
    EXPECT_FALSE(ParseEngineList(text)) << text.substr(0, 40);
  }
  // Of other types than they should be.
  const auto odd = ParseEngineList(
      R"([1,null,"x",[["a"]],{"Id":5,"Names":"n"},{"Id":["a"]},{"Id":"b","Names":[[1],{"a":"c"}]}])");
  ASSERT_TRUE(odd);
  EXPECT_EQ(*odd, (EngineList{{"b", {}}}));
}

TEST(EngineListTest, IdsAndTheirNumberAreBounded) {
  EXPECT_THAT(*ParseEngineList(ListOf(std::string(257, 'a'), "n", "i")), IsEmpty());
  EXPECT_THAT(*ParseEngineList(R"([{"Id":"a"},{"Id":"b"},{"Id":"c"}])", 2), SizeIs(2));
}

class EngineTest : public ::testing::Test {
 protected:
  std::string Socket() const { return directory_.path() + "/engine.sock"; }
  absl::StatusOr<EngineList> Ask() const { return AskForContainers(Socket(), kLimits); }
  std::unique_ptr<EngineNames> Start() const {
    auto names = EngineNames::Start({.socket_paths = {directory_.path() + "/none.sock", Socket()},
                                     .limits = kLimits,
                                     .pause = milliseconds(1)});
    EXPECT_TRUE(names.ok()) << names.status();
    return *std::move(names);
  }
  TempDir directory_;
};

TEST_F(EngineTest, AsksForTheListOfContainers) {
  FakeEngine engine(Socket());
  engine.Say(Answer(ListOf(kId, "web", "img")));
  const absl::StatusOr<EngineList> list = Ask();
  ASSERT_TRUE(list.ok()) << list.status();
  EXPECT_EQ(list->at(kId).name, "web");
  EXPECT_EQ(engine.request().substr(0, engine.request().find('\r')),
            "GET /containers/json HTTP/1.0");
}

TEST_F(EngineTest, AnOddAnswerIsAnError) {
  EXPECT_TRUE(absl::IsNotFound(Ask().status()));
  FakeEngine engine(Socket());
  for (const std::string& answer :
       {std::string(), std::string("HTTP/1.0 200 OK\r\n"), std::string("no HTTP\r\n\r\n[]"),
        std::string("HTTP/1.0 500 no\r\n\r\n[]"), std::string("HTTP/1.0 2000 no\r\n\r\n[]"),
        Answer("[{"), Answer("{}"), Answer("")}) {
    engine.Say(answer);
    EXPECT_FALSE(Ask().ok()) << answer;
  }
  engine.Say(Answer("[" + std::string(20'000, ' ') + "]"));
  EXPECT_TRUE(absl::IsResourceExhausted(Ask().status())) << Ask().status();
}

TEST_F(EngineTest, ASlowAnswerEndsInTime) {
  FakeEngine engine(Socket());
  engine.Say(Answer(""));
  engine.Hang();
  const auto begin = steady_clock::now();
  EXPECT_TRUE(absl::IsDeadlineExceeded(Ask().status()));
  EXPECT_LT(steady_clock::now() - begin, milliseconds(3'000));
}

TEST_F(EngineTest, NamesAreThereSoonAndStay) {
  auto engine = std::make_unique<FakeEngine>(Socket());
  engine->Say(Answer("[]"));
  const std::unique_ptr<EngineNames> names = Start();
  EXPECT_EQ(names->Find(kId), std::nullopt);
  engine->Say(Answer(ListOf(kId, "web", "img")));
  const std::string other(64, 'e');
  EXPECT_TRUE(WaitUntil([&] {
    names->Find(other);
    return names->Find(kId) == Container{.name = "web", .image = "img"};
  }));
  engine.reset();
  EXPECT_NE(names->Find(kId), std::nullopt);
}

TEST_F(EngineTest, AnIdThatNoEngineKnowsIsNotAskedForOnAndOn) {
  FakeEngine engine(Socket());
  engine.Say(Answer("[]"));
  const std::unique_ptr<EngineNames> names = Start();
  int calls = -1;
  // No call between two looks that are far more than a pause apart.
  EXPECT_TRUE(WaitUntil([&] {
    for (int i = 0; i < 50; ++i) {
      names->Find(kId);
      std::this_thread::sleep_for(milliseconds(2));
    }
    return std::exchange(calls, engine.calls()) == engine.calls();
  }));
  EXPECT_LE(engine.calls(), 10);
}

TEST_F(EngineTest, EndsWhileAnEngineHangs) {
  FakeEngine engine(Socket());
  engine.Hang();
  auto names = EngineNames::Start(
      {.socket_paths = {Socket()}, .limits = {.deadline = milliseconds(60'000)}});
  ASSERT_TRUE(names.ok());
  ASSERT_TRUE(WaitUntil([&] { return engine.calls() > 0; }));
  const auto begin = steady_clock::now();
  names->reset();
  EXPECT_LT(steady_clock::now() - begin, milliseconds(10'000));
}

TEST_F(EngineTest, ThePodOfAContainerHasItsNameAndImage) {
  FakeEngine engine(Socket());
  engine.Say(Answer(ListOf(kId, "web", "img")));
  FakeProc processes;
  processes.Put("20", {.inode = 7, .cgroup = "0::/system.slice/docker-" + kId + ".scope\n"});
  processes.Put("30", {.inode = 8, .command = "bare"});
  const SystemClock clock;
  ProcSource source(clock, {.root = processes.path()}, Start());
  PodList list;
  EXPECT_TRUE(WaitUntil([&] {
    list = *source.List();
    return list.pods.size() == 2 && !list.pods[0].identity.containers.empty();
  }));
  EXPECT_EQ(list.pods[0].identity.pod_name, kId.substr(0, 12));
  EXPECT_EQ(list.pods[0].identity.containers[0], (Container{.name = "web", .image = "img"}));
  EXPECT_THAT(list.pods[1].identity.containers, IsEmpty());
}

}  // namespace
}  // namespace podtap::discovery::proc
