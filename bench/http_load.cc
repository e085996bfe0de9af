// HTTP/1.1 requests at a fixed rate, over keep-alive connections that take turns. One thread.
//
// The rate does not follow the server: a request that is due while no connection is free waits, and
// is sent as soon as one is. Prints one line of JSON when all responses are there:
//
//   {"sent": N, "answered": N, "failed": N, "seconds": S}
//
// With --hold the connections then stay open until SIGTERM.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "common/command_line.h"
#include "common/grpc_target.h"
#include "common/stop_signal.h"
#include "common/unique_fd.h"

namespace podtap {
namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string target;
  std::string path = "/index.html";
  int connections = 32;
  double rate = 1000;
  double seconds = 1;
  bool hold = false;
};

// For the responses that are still on their way.
constexpr std::chrono::seconds kPatience{5};

class Connection {
 public:
  explicit Connection(UniqueFd fd) : fd_(std::move(fd)) {}

  int fd() const { return fd_.get(); }
  bool Send(std::string_view request) {
    return ::send(fd(), request.data(), request.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(request.size());
  }
  enum class Read { kMore, kDone, kFailed };
  // Takes what has come of the response.
  Read Receive() {
    char buffer[64 * 1024];
    while (true) {
      const ssize_t size = ::recv(fd(), buffer, sizeof(buffer), MSG_DONTWAIT);
      if (size < 0) {
        return errno == EAGAIN ? Read::kMore : Read::kFailed;
      }
      if (size == 0) {
        return Read::kFailed;
      }
      if (Take({buffer, static_cast<size_t>(size)})) {
        head_.clear();
        return Read::kDone;
      }
    }
  }

 private:
  // True when the response is complete.
  bool Take(std::string_view bytes) {
    if (body_left_ == 0) {
      head_ += bytes;
      const size_t end = head_.find("\r\n\r\n");
      if (end == std::string::npos) {
        return false;
      }
      constexpr std::string_view kLength = "Content-Length: ";
      const size_t at = head_.find(kLength);
      const uint64_t length =
          at < end ? std::strtoull(head_.c_str() + at + kLength.size(), nullptr, 10) : 0;
      body_left_ = length - std::min<uint64_t>(length, head_.size() - end - 4);
    } else {
      body_left_ -= std::min<uint64_t>(body_left_, bytes.size());
    }
    return body_left_ == 0;
  }

  UniqueFd fd_;
  std::string head_;
  uint64_t body_left_ = 0;
};

class Load {
 public:
  explicit Load(const Options& options) : options_(options) {}

  absl::Status Connect() {
    absl::StatusOr<HostPort> target = ParseHostPort("--target", options_.target);
    sockaddr_in address{.sin_family = AF_INET};
    if (!target.ok() || ::inet_pton(AF_INET, target->host.c_str(), &address.sin_addr) != 1) {
      return absl::InvalidArgumentError("--target is not an IPv4 address with a port");
    }
    address.sin_port = htons(target->port);
    request_ = "GET " + options_.path + " HTTP/1.1\r\nHost: " + options_.target +
               "\r\nUser-Agent: http-load\r\nAccept: */*\r\n\r\n";
    epoll_ = UniqueFd(::epoll_create1(0));
    connections_.reserve(static_cast<size_t>(options_.connections));
    for (int i = 0; i < options_.connections; ++i) {
      UniqueFd fd(::socket(AF_INET, SOCK_STREAM, 0));
      const int one = 1;
      ::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
      if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
        return absl::UnavailableError("connect: " + std::to_string(errno));
      }
      epoll_event event{.events = EPOLLIN, .data = {.u64 = connections_.size()}};
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd.get(), &event);
      idle_.push_back(connections_.size());
      connections_.emplace_back(std::move(fd));
    }
    return absl::OkStatus();
  }

  void Run() {
    const Clock::time_point start = Clock::now();
    const auto wanted = static_cast<uint64_t>(options_.rate * options_.seconds);
    const Clock::time_point give_up =
        start + std::chrono::nanoseconds(static_cast<int64_t>(options_.seconds * 1e9)) + kPatience;
    while (answered_ + failed_ < wanted && Clock::now() < give_up && !AllFailed()) {
      const std::chrono::duration<double> passed = Clock::now() - start;
      const auto due = std::min(wanted, static_cast<uint64_t>(passed.count() * options_.rate) + 1);
      while (sent_ < due && !idle_.empty()) {
        SendOne();
      }
      ReceiveSome();
    }
    seconds_ = std::chrono::duration<double>(Clock::now() - start).count();
  }

  void Print() const {
    std::printf("{\"sent\": %llu, \"answered\": %llu, \"failed\": %llu, \"seconds\": %.6f}\n",
                static_cast<unsigned long long>(sent_), static_cast<unsigned long long>(answered_),
                static_cast<unsigned long long>(sent_ - answered_), seconds_);
    std::fflush(stdout);
  }

 private:
  bool AllFailed() const { return failed_ >= connections_.size(); }

  void SendOne() {
    const size_t index = idle_.front();
    idle_.pop_front();
    ++sent_;
    if (!connections_[index].Send(request_)) {
      ++failed_;
    }
  }

  void ReceiveSome() {
    epoll_event events[256];
    const int count = ::epoll_wait(epoll_.get(), events, std::size(events), 1);
    for (int i = 0; i < count; ++i) {
      const size_t index = events[i].data.u64;
      switch (connections_[index].Receive()) {
        case Connection::Read::kMore:
          break;
        case Connection::Read::kDone:
          ++answered_;
          idle_.push_back(index);
          break;
        case Connection::Read::kFailed:
          ++failed_;
          ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, connections_[index].fd(), nullptr);
          break;
      }
    }
  }

  const Options& options_;
  std::string request_;
  UniqueFd epoll_;
  std::vector<Connection> connections_;
  std::deque<size_t> idle_;
  uint64_t sent_ = 0;
  uint64_t answered_ = 0;
  // Connections lost; each may have cost one request.
  uint64_t failed_ = 0;
  double seconds_ = 0;
};

}  // namespace
}  // namespace podtap

int main(int argc, char** argv) {
  podtap::Options options;
  CLI::App app("HTTP/1.1 requests at a fixed rate", "http_load");
  app.add_option("--target", options.target, "Server")->type_name("IPV4:PORT")->required();
  app.add_option("--path", options.path, "Path of the requests");
  app.add_option("--connections", options.connections, "Connections that take turns");
  app.add_option("--rate", options.rate, "Requests per second");
  app.add_option("--seconds", options.seconds, "How long");
  app.add_flag("--hold", options.hold, "Keep the connections open until SIGTERM");
  if (const auto exit_code = podtap::ParseCommandLine(app, argc, argv)) {
    return *exit_code;
  }
  if (options.hold) {
    podtap::BlockStopSignals();
  }
  const rlimit files{.rlim_cur = 65'536, .rlim_max = 65'536};
  ::setrlimit(RLIMIT_NOFILE, &files);
  podtap::Load load(options);
  if (const absl::Status status = load.Connect(); !status.ok()) {
    return podtap::ReportFailure("http_load", status);
  }
  load.Run();
  load.Print();
  if (options.hold) {
    podtap::WaitForStopSignal();
  }
  return 0;
}
