#include "common/admin_server.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/status.h"

namespace podtap {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// How long to wait before accepting again when there is no descriptor left.
constexpr milliseconds kAcceptPause{100};
constexpr int kBacklog = 64;
constexpr char kBusy[] =
    "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
constexpr char kHeadTooLong[] =
    "HTTP/1.1 431 Request Header Fields Too Large\r\nConnection: close\r\n"
    "Content-Length: 0\r\n\r\n";

int MsUntil(steady_clock::time_point time) {
  const auto left = std::chrono::ceil<milliseconds>(time - steady_clock::now());
  return static_cast<int>(std::clamp<int64_t>(left.count(), 0, 60'000));
}

// For a few bytes that fit into a fresh socket's buffer.
void SendShort(int socket, std::string_view bytes) {
  [[maybe_unused]] const ssize_t sent =
      ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

absl::StatusOr<UniqueFd> OpenListener(const HostPort& address) {
  const addrinfo hints{.ai_flags = AI_PASSIVE, .ai_socktype = SOCK_STREAM};
  addrinfo* found = nullptr;
  const int error =
      ::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(absl::StrFormat("--admin-listen: listen on %s: %s",
                                                  address.ToString(), ::gai_strerror(error)));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  UniqueFd socket(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  // A port in TIME_WAIT can be taken; one that somebody listens on can't.
  if (!socket.valid() ||
      ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      ::bind(socket.get(), found->ai_addr, found->ai_addrlen) != 0 ||
      ::listen(socket.get(), kBacklog) != 0) {
    return absl::UnavailableError(absl::StrFormat("--admin-listen: listen on %s: %s",
                                                  address.ToString(), std::strerror(errno)));
  }
  return socket;
}

uint16_t BoundPort(int socket) {
  sockaddr_storage name{};
  socklen_t size = sizeof(name);
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&name), &size);
  // The port is at the same place for both families.
  return ntohs(reinterpret_cast<const sockaddr_in*>(&name)->sin_port);
}

}  // namespace

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Listen(const HostPort& address,
                                                                 AdminLimits limits) {
  PODTAP_ASSIGN_OR_RETURN(UniqueFd listener, OpenListener(address));
  UniqueFd stop(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop.valid()) {
    return ErrnoStatus(errno, "make an event descriptor");
  }
  HostPort bound = address;
  bound.port = BoundPort(listener.get());
  return std::unique_ptr<AdminServer>(
      new AdminServer(std::move(bound), limits, std::move(listener), std::move(stop)));
}

AdminServer::AdminServer(HostPort address, AdminLimits limits, UniqueFd listener, UniqueFd stop)
    : address_(std::move(address)),
      limits_(limits),
      listener_(std::move(listener)),
      stop_(std::move(stop)) {}

AdminServer::~AdminServer() { Stop(); }

void AdminServer::Start(std::vector<AdminPage> pages) {
  PODTAP_CHECK(threads_.empty());
  pages_ = std::move(pages);
  threads_.emplace_back([this] { RunDoor(); });
  for (size_t i = 0; i < limits_.workers; ++i) {
    threads_.emplace_back([this] { RunWorker(); });
  }
}

void AdminServer::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(stop_.get(), &one, sizeof(one));
  ready_changed_.notify_all();
  for (std::thread& thread : threads_) {
    thread.join();
  }
  threads_.clear();
}

void AdminServer::RunDoor() {
  std::vector<pollfd> polled;
  while (true) {
    polled.assign({{stop_.get(), POLLIN, 0},
                   // poll() passes over a negative descriptor.
                   {can_accept_ ? listener_.get() : -1, POLLIN, 0}});
    for (const Visitor& visitor : waiting_) {
      polled.push_back({visitor.socket.get(), POLLIN, 0});
    }
    int timeout_ms = waiting_.empty() ? -1 : MsUntil(waiting_.front().deadline);
    if (!can_accept_) {
      timeout_ms = static_cast<int>(kAcceptPause.count());
    }
    ::poll(polled.data(), polled.size(), timeout_ms);
    if (polled[0].revents != 0) {
      waiting_.clear();
      return;
    }
    std::deque<Visitor> left;
    const TimePoint now = steady_clock::now();
    for (size_t i = 0; i < waiting_.size(); ++i) {
      Visitor& visitor = waiting_[i];
      if ((polled[i + 2].revents == 0 || Hear(visitor)) && now < visitor.deadline) {
        left.push_back(std::move(visitor));
      }
    }
    waiting_ = std::move(left);
    const bool paused = !can_accept_;
    can_accept_ = true;
    if (paused || polled[1].revents != 0) {
      Accept();
    }
  }
}

void AdminServer::Accept() {
  // Bounded, so that those who wait are heard meanwhile.
  for (int i = 0; i < kBacklog; ++i) {
    UniqueFd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) {
      can_accept_ = errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
      return;
    }
    if (waiting_.size() >= limits_.max_waiting) {
      // Who has been slow the longest makes room.
      waiting_.pop_front();
    }
    Visitor visitor{std::move(socket), {}, steady_clock::now() + limits_.head_time};
    if (Hear(visitor)) {
      waiting_.push_back(std::move(visitor));
    }
  }
}

bool AdminServer::Hear(Visitor& visitor) {
  while (true) {
    char bytes[1024];
    const ssize_t count = ::recv(visitor.socket.get(), bytes, sizeof(bytes), 0);
    if (count < 0) {
      return errno == EAGAIN || errno == EINTR;
    }
    if (count == 0) {
      return false;
    }
    visitor.head.append(bytes, static_cast<size_t>(count));
    if (visitor.head.find("\r\n\r\n") != std::string::npos) {
      HandOver(std::move(visitor));
      return false;
    }
    if (visitor.head.size() >= limits_.max_head_bytes) {
      SendShort(visitor.socket.get(), kHeadTooLong);
      return false;
    }
  }
}

void AdminServer::HandOver(Visitor visitor) {
  {
    const std::lock_guard lock(mutex_);
    if (ready_.size() >= limits_.max_ready) {
      SendShort(visitor.socket.get(), kBusy);
      return;
    }
    ready_.push_back(std::move(visitor));
  }
  ready_changed_.notify_one();
}

void AdminServer::RunWorker() {
  while (true) {
    std::unique_lock lock(mutex_);
    ready_changed_.wait(lock, [&] { return stopping_ || !ready_.empty(); });
    if (stopping_) {
      return;
    }
    Visitor visitor = std::move(ready_.front());
    ready_.pop_front();
    lock.unlock();
    Serve(std::move(visitor));
  }
}

void AdminServer::Serve(Visitor visitor) {
  bool is_large = false;
  const std::string answer =
      AnswerRequest(visitor.head, pages_, [&](const AdminPage& page) -> AdminReply {
        if (page.is_large) {
          is_large = true;
          if (++large_under_way_ >= limits_.workers) {
            return {503, "busy with other requests for this page\n"};
          }
        }
        return page.render();
      });
  Send(visitor.socket.get(), answer);
  // What is left unread would make the kernel reset the connection, and the client might lose the
  // answer.
  char rest[1024];
  [[maybe_unused]] const ssize_t unread = ::recv(visitor.socket.get(), rest, sizeof(rest), 0);
  if (is_large) {
    --large_under_way_;
  }
}

void AdminServer::Send(int socket, std::string_view bytes) const {
  const TimePoint deadline = steady_clock::now() + limits_.send_time;
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<size_t>(sent));
      continue;
    }
    if (errno != EAGAIN && errno != EINTR) {
      return;
    }
    pollfd polled[] = {{socket, POLLOUT, 0}, {stop_.get(), POLLIN, 0}};
    ::poll(polled, 2, MsUntil(deadline));
    if (polled[1].revents != 0 || steady_clock::now() >= deadline) {
      return;
    }
  }
}

}  // namespace podtap
