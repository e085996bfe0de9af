// `podtap observe` against a collector on loopback.
#include "cli/observe.h"

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "collector/collector.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/collector/support.h"

namespace podtap::cli {
namespace {

class ObserveTest : public testing::Test {
 protected:
  ObserveTest() {
    collector_options_.listen.port = 0;
    collector_options_.store.directory = directory_.path();
    Start();
    collector_options_.listen.port = collector_->address().port;
    options_.server = collector_->address();
    options_.last = 20;
    server_.connect = [this] {
      grpc::ChannelArguments arguments;
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
      arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 10);
      arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 10);
      arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 50);
      return v1::QueryService::NewStub(grpc::CreateCustomChannel(
          options_.server.ToString(), grpc::InsecureChannelCredentials(), arguments));
    };
    server_.explain = [] { return std::string(); };
    output_.event_line = [this](const std::optional<std::string>& line, const std::string& cursor) {
      return AddLine(line, cursor);
    };
    output_.note = [this](const std::string& text) {
      const std::lock_guard lock(mutex_);
      notes_ += text + "\n";
    };
  }

  void Start() {
    auto collector = Collector::Start(collector_options_, &clock_);
    ASSERT_TRUE(collector.ok()) << collector.status();
    collector_ = *std::move(collector);
  }

  // Keeps the path of each line and the last cursor; refuses lines beyond limit_.
  bool AddLine(const std::optional<std::string>& line, const std::string& cursor) {
    const std::lock_guard lock(mutex_);
    cursor_ = cursor;
    changed_.notify_all();
    if (!line) {
      return true;
    }
    const size_t begin = line->find(" GET ") + 5;
    paths_ += line->substr(begin, line->find(' ', begin) - begin);
    ++lines_;
    changed_.notify_all();
    return lines_ < limit_;
  }
  void WaitForLines(int count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(20), [&] { return lines_ >= count; }));
  }
  void Store(uint64_t first, int count) {
    ASSERT_TRUE(WriteBatch(collector_->store(), MakeBatch(1, first, count, clock_.WallNs())).ok());
  }
  absl::Status Run() { return Observe(options_, server_, output_); }

  TempDir directory_;
  SystemClock clock_;
  CollectorOptions collector_options_;
  std::unique_ptr<Collector> collector_;
  ObserveOptions options_;
  ObserveServer server_;
  ObserveOutput output_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::string paths_;
  std::string cursor_;
  std::string notes_;
  int lines_ = 0;
  int limit_ = 1'000'000;
};

TEST_F(ObserveTest, PrintsTheNewestInOrder) {
  Store(1, 5);
  options_.last = 3;
  EXPECT_TRUE(Run().ok());
  EXPECT_EQ(paths_, "/3/4/5");
  EXPECT_EQ(notes_, "");
}

TEST_F(ObserveTest, CountsAfterFiltering) {
  Store(1, 30);
  options_.last = 2;
  options_.include.Add()->add_path("~5$");
  EXPECT_TRUE(Run().ok());
  EXPECT_EQ(paths_, "/15/25");
}

TEST_F(ObserveTest, PrintsAllOfATimeRange) {
  const int64_t now_seconds = clock_.WallNs() / kSecondNs;
  Store(1, 2500);
  options_.last.reset();
  options_.time_range.mutable_start_time()->set_seconds(now_seconds - 3600);
  EXPECT_TRUE(Run().ok());
  EXPECT_EQ(lines_, 2500);
  EXPECT_THAT(notes_, testing::HasSubstr("the collector holds events from "));
  options_.time_range.mutable_start_time()->set_seconds(now_seconds - 7200);
  options_.time_range.mutable_end_time()->set_seconds(now_seconds - 3600);
  EXPECT_TRUE(Run().ok());
  EXPECT_EQ(lines_, 2500);
  EXPECT_THAT(notes_, testing::HasSubstr("holds nothing of that time"));
}

TEST_F(ObserveTest, AnUnreachableCollectorIsOneLine) {
  collector_->Stop();
  const absl::Status status = Run();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()),
              testing::StartsWith("can't reach the collector at 127.0.0.1:"));
  EXPECT_EQ(std::string(status.message()).find('\n'), std::string::npos);
}

TEST_F(ObserveTest, ABadFilterIsAUsageError) {
  options_.include.Add()->add_status("abc");
  EXPECT_TRUE(absl::IsInvalidArgument(Run()));
  options_.follow = true;
  EXPECT_TRUE(absl::IsInvalidArgument(Run()));
}

TEST_F(ObserveTest, FollowsOverALostConnection) {
  Store(1, 3);
  options_.last = 2;
  options_.follow = true;
  limit_ = 6;
  std::thread observer([&] { EXPECT_TRUE(Run().ok()); });
  WaitForLines(2);
  Store(4, 1);
  WaitForLines(3);
  collector_->Stop();
  collector_.reset();
  Start();
  Store(5, 3);
  observer.join();
  EXPECT_EQ(paths_, "/2/3/4/5/6/7");
  EXPECT_THAT(notes_,
              testing::MatchesRegex("no connection to the collector at .*\nconnected again\n"));
}

TEST_F(ObserveTest, GoesOnFromACursor) {
  Store(1, 3);
  options_.last = 0;
  options_.follow = true;
  limit_ = 2;
  std::thread observer([&] { EXPECT_TRUE(Run().ok()); });
  {
    // The first cursor comes before any event.
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(20), [&] { return cursor_ != ""; }));
  }
  Store(4, 5);
  observer.join();
  EXPECT_EQ(paths_, "/4/5");
  options_.cursor = cursor_;
  options_.last = 20;
  limit_ = 4;
  EXPECT_TRUE(Run().ok());
  EXPECT_EQ(paths_, "/4/5/6/7");
  EXPECT_EQ(notes_, "");
}

TEST_F(ObserveTest, SaysWhenTheStoreIsAnother) {
  Store(1, 2);
  options_.follow = true;
  limit_ = 2;
  EXPECT_TRUE(Run().ok());
  options_.cursor = cursor_;
  collector_->Stop();
  collector_.reset();
  const TempDir other;
  collector_options_.store.directory = other.path();
  Start();
  Store(1, 1);
  limit_ = 3;
  EXPECT_TRUE(Run().ok());
  EXPECT_EQ(paths_, "/1/2/1");
  EXPECT_THAT(notes_, testing::HasSubstr("the collector's store is not the one of before"));
  collector_->Stop();
  collector_.reset();
}

TEST_F(ObserveTest, FollowsFromATimeWithoutRepeats) {
  Store(1, 3);
  options_.last.reset();
  options_.time_range.mutable_start_time()->set_seconds(clock_.WallNs() / kSecondNs - 10);
  options_.follow = true;
  limit_ = 5;
  // Stored while the list is printed: in the list's time range and behind the stream's beginning.
  output_.event_line = [this](const std::optional<std::string>& line, const std::string& cursor) {
    if (line && lines_ == 0) {
      Store(4, 2);
    }
    return AddLine(line, cursor);
  };
  EXPECT_TRUE(Run().ok());
  EXPECT_EQ(paths_, "/1/2/3/4/5");
}

}  // namespace
}  // namespace podtap::cli
