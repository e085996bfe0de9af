#include "cli/cursor_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "common/status.h"
#include "common/text.h"
#include "common/unique_fd.h"

namespace podtap::cli {
namespace {

// Far more than a cursor takes.
constexpr size_t kMaxBytes = 256;

}  // namespace

absl::StatusOr<std::string> ReadCursorFile(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) {
    return errno == ENOENT ? absl::StatusOr<std::string>("")
                           : ErrnoStatus(errno, "--cursor-file: read %s", SafeText(path));
  }
  char bytes[kMaxBytes];
  const ssize_t size = ::read(file.get(), bytes, sizeof(bytes));
  if (size < 0) {
    return ErrnoStatus(errno, "--cursor-file: read %s", SafeText(path));
  }
  std::string cursor(absl::StripAsciiWhitespace(absl::string_view(bytes, size)));
  if (cursor.empty() || cursor.size() >= kMaxBytes - 1 || SafeText(cursor) != cursor ||
      cursor.find(' ') != std::string::npos) {
    return absl::FailedPreconditionError(absl::StrFormat(
        "--cursor-file: %s holds no cursor; remove it to begin anew", SafeText(path)));
  }
  return cursor;
}

absl::Status WriteCursorFile(const std::string& path, const std::string& cursor) {
  const std::string temporary = path + ".tmp";
  const std::string line = cursor + "\n";
  UniqueFd file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (!file.valid()) {
    return ErrnoStatus(errno, "--cursor-file: write %s", SafeText(temporary));
  }
  errno = ENOSPC;  // What a short write means, which sets no error.
  const bool written =
      ::write(file.get(), line.data(), line.size()) == static_cast<ssize_t>(line.size());
  if (!written || ::rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary.c_str());
    return ErrnoStatus(error, "--cursor-file: write %s", SafeText(path));
  }
  return absl::OkStatus();
}

}  // namespace podtap::cli
