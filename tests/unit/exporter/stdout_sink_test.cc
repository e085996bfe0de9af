#include "agent/exporter/stdout_sink.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <future>
#include <string>

#include "common/unique_fd.h"
#include "tests/unit/exporter/event_builder.h"

namespace podtap::exporter {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

class StdoutSinkTest : public testing::Test {
 protected:
  StdoutSinkTest() {
    std::signal(SIGPIPE, SIG_IGN);
    int fds[2];
    EXPECT_EQ(::pipe(fds), 0);
    read_end_ = UniqueFd(fds[0]);
    write_end_ = UniqueFd(fds[1]);
  }

  StdoutSinkOptions Options(LineFormat format = LineFormat::kJson) const {
    return {.origin = kOrigin, .format = format, .fd = write_end_.get()};
  }
  // One line, without its newline; blocks until it is there.
  std::string ReadLine() {
    std::string line;
    char c = 0;
    while (::read(read_end_.get(), &c, 1) == 1 && c != '\n') {
      line += c;
    }
    return line;
  }
  static void ExpectIdentity(const StdoutSink& sink) {
    const StdoutSinkCounters counters = sink.counters();
    EXPECT_EQ(counters.events, counters.printed + counters.dropped);
  }

  UniqueFd read_end_;
  UniqueFd write_end_;
};

TEST_F(StdoutSinkTest, PrintsEachEventAtOnce) {
  StdoutSink sink(Options());
  sink.OnEvent(MakeEvent("/first"));
  std::string line = ReadLine();
  EXPECT_THAT(line, HasSubstr("\"path\":\"/first\""));
  EXPECT_THAT(line, HasSubstr("\"id\":\"node-1/00c0ffee00c0ffee/1\""));
  sink.OnEvent(MakeEvent("/second"));
  line = ReadLine();
  EXPECT_THAT(line, HasSubstr("/second"));
  EXPECT_THAT(line, HasSubstr("/2\""));
  sink.Stop(seconds(10));
  EXPECT_EQ(sink.counters().printed, 2u);
  EXPECT_FALSE(sink.closed());
}

TEST_F(StdoutSinkTest, PrintsCompactLines) {
  StdoutSink sink(Options(LineFormat::kCompact));
  sink.OnEvent(MakeEvent("/first"));
  EXPECT_THAT(ReadLine(), HasSubstr(" GET /first "));
}

TEST_F(StdoutSinkTest, StopPrintsWhatWaits) {
  StdoutSink sink(Options());
  for (int i = 0; i < 20; ++i) {
    sink.OnEvent(MakeEvent());
  }
  sink.Stop(seconds(10));
  EXPECT_EQ(sink.counters().printed, 20u);
  sink.OnEvent(MakeEvent());
  EXPECT_EQ(sink.counters().dropped, 1u);
  ExpectIdentity(sink);
}

TEST_F(StdoutSinkTest, SaysWhenNobodyReads) {
  std::promise<int> closed;
  StdoutSink sink(Options(), [&](int error) { closed.set_value(error); });
  read_end_.Reset();
  sink.OnEvent(MakeEvent());
  std::future<int> error = closed.get_future();
  ASSERT_EQ(error.wait_for(seconds(10)), std::future_status::ready);
  EXPECT_EQ(error.get(), EPIPE);
  EXPECT_TRUE(sink.closed());
  sink.OnEvent(MakeEvent());
  sink.Stop(seconds(10));
  EXPECT_EQ(sink.counters().dropped, 2u);
  ExpectIdentity(sink);
}

TEST_F(StdoutSinkTest, SaysWhenADiskIsFull) {
  const UniqueFd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  ASSERT_TRUE(full.valid());
  StdoutSinkOptions options = Options();
  options.fd = full.get();
  std::promise<int> closed;
  StdoutSink sink(options, [&](int error) { closed.set_value(error); });
  sink.OnEvent(MakeEvent());
  EXPECT_EQ(closed.get_future().get(), ENOSPC);
  sink.Stop(seconds(10));
  EXPECT_EQ(sink.counters().dropped, 1u);
  ExpectIdentity(sink);
}

TEST_F(StdoutSinkTest, ASlowReaderNeverHoldsUpThePipeline) {
  StdoutSinkOptions options = Options();
  options.max_queued = 100;
  StdoutSink sink(options);
  // Far more than the pipe and the queue take; this would hang if it waited for the reader.
  for (int i = 0; i < 5'000; ++i) {
    sink.OnEvent(MakeEvent());
  }
  EXPECT_GT(sink.counters().dropped, 1'000u);
  const auto begin = std::chrono::steady_clock::now();
  sink.Stop(milliseconds(100));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(1'500));
  ExpectIdentity(sink);
}

}  // namespace
}  // namespace podtap::exporter
