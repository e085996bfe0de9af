#include "agent/discovery/proc/engine_call.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "common/status.h"
#include "common/unique_fd.h"

namespace podtap::discovery::proc {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

absl::StatusOr<UniqueFd> Connect(const std::string& path) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof(address.sun_path)) {
    return absl::InvalidArgumentError("the path of the socket is too long");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // A full queue is EAGAIN here: who does not accept does not answer either.
  if (!fd.valid() ||
      ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return ErrnoStatus(errno, "connect");
  }
  return fd;
}

// Until the socket is ready for `events`, or has ended.
absl::Status WaitFor(int fd, short events, steady_clock::time_point end, int stop_fd) {
  const auto left = std::chrono::duration_cast<milliseconds>(end - steady_clock::now());
  pollfd wanted[2] = {{.fd = fd, .events = events, .revents = 0},
                      {.fd = stop_fd, .events = POLLIN, .revents = 0}};
  const int ready = ::poll(wanted, 2, static_cast<int>(std::max<int64_t>(left.count(), 0)));
  if (wanted[1].revents != 0) {
    return absl::CancelledError("stopping");
  }
  return ready > 0 ? absl::OkStatus() : absl::DeadlineExceededError("no answer in time");
}

absl::StatusOr<std::string> ReadAll(int fd, size_t max_bytes, steady_clock::time_point end,
                                    int stop_fd) {
  std::string answer;
  char buffer[16 << 10];
  while (true) {
    PODTAP_RETURN_IF_ERROR(WaitFor(fd, POLLIN, end, stop_fd));
    const ssize_t size = ::recv(fd, buffer, sizeof(buffer), 0);
    if (size == 0) {
      return answer;
    }
    if (size < 0 && errno != EAGAIN && errno != EINTR) {
      return ErrnoStatus(errno, "read the answer");
    }
    answer.append(buffer, static_cast<size_t>(std::max<ssize_t>(size, 0)));
    if (answer.size() > max_bytes) {
      return absl::ResourceExhaustedError("the answer is too long");
    }
  }
}

// What follows the head of a good answer.
absl::StatusOr<std::string> BodyOf(std::string answer) {
  const std::string_view text = answer;
  const size_t end = text.find("\r\n\r\n");
  // "HTTP/1.x 200".
  if (text.substr(0, 7) != "HTTP/1." || text.substr(8, 5) != " 200 " ||
      end == std::string_view::npos) {
    return absl::UnavailableError("the answer is not what an engine says");
  }
  answer.erase(0, end + 4);
  return answer;
}

}  // namespace

absl::StatusOr<std::string> AskEngine(const std::string& socket_path, const std::string& target,
                                      const EngineLimits& limits, int stop_fd) {
  const steady_clock::time_point end = steady_clock::now() + limits.deadline;
  PODTAP_ASSIGN_OR_RETURN(const UniqueFd fd, Connect(socket_path));
  const std::string request = "GET " + target + " HTTP/1.0\r\nHost: localhost\r\n\r\n";
  // Fits into the socket's buffer.
  if (::send(fd.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
      static_cast<ssize_t>(request.size())) {
    return ErrnoStatus(errno, "ask");
  }
  PODTAP_ASSIGN_OR_RETURN(std::string answer, ReadAll(fd.get(), limits.max_bytes, end, stop_fd));
  return BodyOf(std::move(answer));
}

}  // namespace podtap::discovery::proc
