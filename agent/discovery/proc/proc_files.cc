#include "agent/discovery/proc/proc_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <string_view>

#include "common/unique_fd.h"

namespace podtap::discovery::proc {
namespace {

constexpr size_t kMaxFileBytes = 16 << 10;

// The number that begins at `at`.
std::optional<uint64_t> NumberAt(std::string_view text, size_t at) {
  uint64_t number = 0;
  if (at > text.size() ||
      std::from_chars(text.data() + at, text.data() + text.size(), number).ec != std::errc()) {
    return std::nullopt;
  }
  return number;
}

}  // namespace

std::optional<ProcessId> FindProcess(const std::string& root, pid_t pid) {
  const std::string stat = ReadProcessFile(root, pid, "stat");
  // The name, in parentheses, may hold anything; the start is the 20th field behind it.
  size_t at = stat.rfind(')');
  for (int field = 0; field < 20 && at != std::string::npos; ++field) {
    at = stat.find(' ', at + 1);
  }
  if (at == std::string::npos) {
    return std::nullopt;
  }
  const std::optional<uint64_t> start = NumberAt(stat, at + 1);
  return start ? std::optional(ProcessId{.pid = pid, .start_ticks = *start}) : std::nullopt;
}

std::optional<uint64_t> NetworkNamespaceOf(const std::string& root, const std::string& process) {
  char link[64];
  const ssize_t size = ::readlink((root + "/" + process + "/ns/net").c_str(), link, sizeof(link));
  constexpr std::string_view kBegin = "net:[";
  if (size < 0) {
    return std::nullopt;
  }
  const std::string_view text(link, static_cast<size_t>(size));
  return text.substr(0, kBegin.size()) == kBegin ? NumberAt(text, kBegin.size()) : std::nullopt;
}

std::string ReadProcessFile(const std::string& root, pid_t pid, const char* name) {
  return ReadFile(root + "/" + std::to_string(pid) + "/" + name);
}

std::string ReadFile(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  std::string text;
  if (!fd.valid()) {
    return text;
  }
  char buffer[4096];
  ssize_t size = 0;
  while (text.size() < kMaxFileBytes && (size = ::read(fd.get(), buffer, sizeof(buffer))) > 0) {
    text.append(buffer, static_cast<size_t>(size));
  }
  return text;
}

}  // namespace podtap::discovery::proc
