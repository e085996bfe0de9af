// podtap: the client. Flags, signals, exit codes.
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <thread>

#include "cli/cursor_file.h"
#include "cli/observe.h"
#include "cli/options.h"
#include "common/clock.h"
#include "common/command_line.h"
#include "common/grpc_log.h"
#include "common/log.h"
#include "common/status.h"
#include "common/stop_signal.h"
#include "common/tls_credentials.h"
#include "common/tls_refusal.h"

namespace podtap::cli {
namespace {

// Time to find out why there is no connection.
constexpr std::chrono::milliseconds kExplainTime{2'000};

std::unique_ptr<v1::QueryService::StubInterface> Connect(const ObserveOptions& options) {
  grpc::ChannelArguments arguments;
  // A connection of its own, so that the credentials are those of now.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // An answer of many events can be larger than the 4 MiB that gRPC takes by default.
  arguments.SetMaxReceiveMessageSize(16 << 20);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  // Finds out that the collector went away without a word.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
  return v1::QueryService::NewStub(grpc::CreateCustomChannel(
      options.server.ToString(), ChannelCredentialsOf(options.tls.get()), arguments));
}

// Ends the process, with what is printed printed whole.
void ExitOnSignal() {
  std::thread([] {
    WaitForStopSignal();
    // A line that is being written may be stuck in a pipe that nobody reads: wait two seconds.
    for (int i = 0; i < 200 && ftrylockfile(stdout) != 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    std::_Exit(kExitDone);
  }).detach();
}

void ExitFailed(const absl::Status& status) {
  ReportFailure("podtap", status);
  std::_Exit(kExitFailed);
}

// Prints the line, if there is one, and then keeps the cursor. ExitOnSignal() waits for both, so
// that a run which is told to stop leaves a cursor behind its last line.
bool PrintLine(const std::string& cursor_file, const std::optional<std::string>& line,
               const std::string& cursor) {
  flockfile(stdout);
  bool written = true;
  if (line) {
    written = std::fwrite(line->data(), 1, line->size(), stdout) == line->size() &&
              std::fputc('\n', stdout) != EOF && std::fflush(stdout) == 0;
  }
  if (!written && errno != EPIPE) {
    // A reader that has seen enough is not an error; a full disk is.
    ExitFailed(ErrnoStatus(errno, "write to standard output"));
  }
  if (written && !cursor_file.empty() && !cursor.empty()) {
    if (const absl::Status status = WriteCursorFile(cursor_file, cursor); !status.ok()) {
      ExitFailed(status);
    }
  }
  funlockfile(stdout);
  return written;
}

int Run(int argc, char** argv) {
  BlockStopSignals();
  const char* no_colour = std::getenv("NO_COLOR");
  const auto parsed = ParseArguments(argc, argv,
                                     {.stdout_is_terminal = ::isatty(STDOUT_FILENO) == 1,
                                      .no_colour = no_colour != nullptr && no_colour[0] != '\0',
                                      .now_ns = SystemClock().WallNs()});
  if (const int* exit_code = std::get_if<int>(&parsed)) {
    return *exit_code;
  }
  auto options = std::get<ObserveOptions>(parsed);
  if (const absl::Status status = InitLog(options.log_level); !status.ok()) {
    return ReportFailure("podtap", status);
  }
  if (!options.cursor_file.empty()) {
    absl::StatusOr<std::string> cursor = ReadCursorFile(options.cursor_file);
    if (!cursor.ok()) {
      return ReportFailure("podtap", cursor.status());
    }
    options.cursor = *std::move(cursor);
  }
  RouteGrpcLog();
  ExitOnSignal();
  const ObserveServer server{
      .connect = [&options] { return Connect(options); },
      .explain =
          [&options] {
            const auto material = options.tls != nullptr ? options.tls->current() : nullptr;
            return ExplainRefusal(options.server, material.get(), kExplainTime);
          }};
  const ObserveOutput output{
      .event_line =
          [&options](const std::optional<std::string>& line, const std::string& cursor) {
            return PrintLine(options.cursor_file, line, cursor);
          },
      .note = [](const std::string& text) { std::fprintf(stderr, "podtap: %s\n", text.c_str()); }};
  const absl::Status status = Observe(options, server, output);
  return status.ok() ? kExitDone : ReportFailure("podtap", status);
}

}  // namespace
}  // namespace podtap::cli

int main(int argc, char** argv) { return podtap::cli::Run(argc, argv); }
