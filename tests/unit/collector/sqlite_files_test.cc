// The store's files: partitions, retention, damage, full disks.
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>

#include "collector/ingest/batch_decoder.h"
#include "collector/store/sqlite/database.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/collector/sqlite_store_fixture.h"

namespace podtap::store::sqlite {
namespace {

TEST_F(SqliteStoreTest, BeginsAFileEachHour) {
  Open();
  Store(MakeBatch(1, 1, 2));
  clock_.Advance(kHourNs);
  Store(MakeBatch(1, 2, 2, clock_.WallNs()));
  EXPECT_THAT(directory_.Names(".db"), testing::Contains("events-2030010112.db"));
  EXPECT_THAT(directory_.Names(".db"), testing::Contains("events-2030010113.db"));
  EXPECT_EQ(Paths(ReadAll(*store_, {.order = ScanOrder::kOldestStart})), "/1 /2 /3");
  EXPECT_EQ(Paths(ReadAll(*store_, {.order = ScanOrder::kNewestStart})), "/3 /2 /1");
  EXPECT_EQ(Paths(ReadAll(*store_, {.order = ScanOrder::kRowDescending})), "/3 /2 /1");
  Open();
  EXPECT_EQ(Paths(ReadAll(*store_, {.order = ScanOrder::kRowAscending})), "/1 /2 /3");
}

TEST_F(SqliteStoreTest, MergesFilesByStartTime) {
  Open();
  Store(MakeBatch(1, 1, 1, kNoonNs));
  Store(MakeBatch(1, 2, 1, kNoonNs + 2 * kSecondNs));
  clock_.Advance(kHourNs);
  // Arrives an hour late.
  Store(MakeBatch(1, 3, 1, kNoonNs + kSecondNs));
  EXPECT_EQ(Paths(ReadAll(*store_, {.order = ScanOrder::kOldestStart})), "/1 /3 /2");
  EXPECT_EQ(Paths(ReadAll(*store_, {.order = ScanOrder::kNewestStart})), "/2 /3 /1");
  EXPECT_EQ(Paths(ReadAll(*store_, {.order = ScanOrder::kOldestStart,
                                    .begin_ns = kNoonNs + kSecondNs,
                                    .end_ns = kNoonNs + 2 * kSecondNs})),
            "/3");
}

TEST_F(SqliteStoreTest, ResumesAmongEqualTimes) {
  Open();
  for (uint64_t i = 1; i <= 5; ++i) {
    Store(MakeBatch(1, i, 1, kNoonNs));
    if (i == 3) {
      clock_.Advance(kHourNs);
    }
  }
  for (const ScanOrder order : {ScanOrder::kOldestStart, ScanOrder::kNewestStart}) {
    ScanRequest request{.order = order};
    std::string paths;
    for (int i = 0; i < 6; ++i) {
      const auto end = store_->Scan(
          request, {.on_event = [&](const ScanPosition& position, const v1::HttpEvent& event) {
            paths += event.request().path();
            request.resume = position;
            return false;
          }});
      ASSERT_TRUE(end.ok());
      EXPECT_EQ(end->complete, i == 5);
    }
    EXPECT_EQ(paths, order == ScanOrder::kOldestStart ? "/1/2/3/4/5" : "/5/4/3/2/1");
  }
}

TEST_F(SqliteStoreTest, RemovesOldFiles) {
  options_.retention_ns = 2 * kHourNs;
  Open();
  Store(MakeBatch(1, 1, 2));
  clock_.Advance(kHourNs);
  Store(MakeBatch(1, 3, 2));
  clock_.Advance(kHourNs);
  store_->Maintain();
  EXPECT_EQ(Paths(ReadAll(*store_, {.order = ScanOrder::kRowAscending})), "/3 /4");
  EXPECT_EQ(store_->State().oldest_row, 3u);
  clock_.Advance(10 * kHourNs);
  store_->Maintain();
  EXPECT_TRUE(ReadAll(*store_).empty());
  EXPECT_EQ(store_->State().oldest_row, store_->State().last_row + 1);
  // What was stored is still known, and rows go on.
  EXPECT_EQ(Store(MakeBatch(1, 3, 3)).stored, 1u);
  EXPECT_EQ(store_->State().last_row, 5u);
}

TEST_F(SqliteStoreTest, StaysInsideItsByteBound) {
  options_.retention_bytes = 4 << 20;
  Open();
  v1::EventBatch batch = MakeBatch(1, 1, 500);
  uint64_t first = 1;
  for (int i = 0; i < 60; ++i) {
    batch = MakeBatch(1, first, 500);
    batch.set_strings(3, std::string(300, 'x'));
    for (v1::BatchEvent& event : *batch.mutable_events()) {
      event.set_trace_id_string(static_cast<uint32_t>(batch.strings_size()));
      batch.add_strings(std::string(200, 'y') + std::to_string(first));
      ++first;
    }
    Store(batch);
  }
  store_->Maintain();
  const StoreState state = store_->State();
  // The file being written and the one before it are the grain.
  EXPECT_LE(state.bytes, options_.retention_bytes + options_.retention_bytes / 4);
  EXPECT_GT(state.bytes, options_.retention_bytes / 4);
  EXPECT_GT(state.oldest_row, 1u);
  EXPECT_EQ(state.last_row, 30'000u);
  const auto events = ReadAll(*store_, {.order = ScanOrder::kRowAscending});
  EXPECT_EQ(events.size(), state.events);
  EXPECT_EQ(events.back().request().path(), "/30000");
}

TEST_F(SqliteStoreTest, SetsACorruptFileAside) {
  Open();
  Store(MakeBatch(1, 1, 2));
  clock_.Advance(kHourNs);
  Store(MakeBatch(1, 3, 2));
  const uint64_t store_id = store_->State().store_id;
  store_.reset();
  std::ofstream(directory_.path() + "/events-2030010112.db") << "this is no database";
  Open();
  EXPECT_EQ(Paths(ReadAll(*store_, {.order = ScanOrder::kRowAscending})), "/3 /4");
  EXPECT_EQ(directory_.Names(".corrupt").size(), 1u);
  EXPECT_NE(store_->State().store_id, store_id) << "cursors into the lost file must not be taken";
  EXPECT_EQ(Store(MakeBatch(1, 3, 3)).stored, 1u);
}

// Each kind of damage to the older of two files: the newer one's events stay, what can't be read is
// set aside, and storing goes on.
TEST_F(SqliteStoreTest, KeepsWhatIsIntactWhateverIsDamaged) {
  const auto write = [](const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary) << bytes;
  };
  struct Row {
    const char* what;
    std::function<void(const std::string& path)> damage;
    const char* left;
    size_t set_aside;
  };
  const Row rows[] = {
      {"nothing", [](const std::string&) {}, "/1 /2 /3 /4", 0},
      {"empty", [&](const std::string& path) { write(path, ""); }, "/3 /4", 1},
      {"zeros", [&](const std::string& path) { write(path, std::string(65'536, '\0')); }, "/3 /4",
       1},
      {"garbage", [&](const std::string& path) { write(path, std::string(65'536, '\xa5')); },
       "/3 /4", 1},
      {"cut in half",
       [](const std::string& path) {
         std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
       },
       "/3 /4", 1},
      {"garbage in the log",
       [&](const std::string& path) { write(path + "-wal", std::string(9'000, '\xa5')); },
       "/1 /2 /3 /4", 1},
      {"garbage in the shared memory",
       [&](const std::string& path) { write(path + "-shm", std::string(32'768, '\xa5')); },
       "/1 /2 /3 /4", 0},
      {"a log without its database",
       [&](const std::string& path) {
         std::filesystem::remove(path);
         write(path + "-wal", "x");
       },
       "/3 /4", 0},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    const TempDir directory;
    options_.directory = directory.path();
    Open();
    Store(MakeBatch(1, 1, 2));
    const std::string path = directory.path() + "/" + directory.Names(".db").front();
    clock_.Advance(kHourNs);
    Store(MakeBatch(1, 3, 2));
    store_.reset();
    row.damage(path);
    Open();
    store_->Maintain();
    // A cut may be noticed by the first who reads.
    ReadAll(*store_);
    store_->Maintain();
    EXPECT_EQ(Paths(ReadAll(*store_, {.order = ScanOrder::kRowAscending})), row.left);
    EXPECT_EQ(directory.Names(".corrupt").size() + directory.Names(".schema-").size(),
              row.set_aside);
    EXPECT_EQ(Store(MakeBatch(1, 4, 2)).stored, 1u) << "and it is known what was stored";
    store_.reset();
  }
}

TEST_F(SqliteStoreTest, LeavesOutAFileThatTurnsOutCorrupt) {
  Open();
  Store(MakeBatch(1, 1, 400));
  clock_.Advance(kHourNs);
  Store(MakeBatch(1, 401, 2));
  store_.reset();
  {
    // The header stays whole, so that it is noticed only in reading.
    std::fstream file(directory_.path() + "/events-2030010112.db",
                      std::ios::in | std::ios::out | std::ios::binary);
    for (int page = 6; page < 12; ++page) {
      file.seekp(page * 8192);
      file << std::string(8192, '\xee');
    }
  }
  Open();
  EXPECT_EQ(Paths(ReadAll(*store_, {.order = ScanOrder::kNewestStart})).substr(0, 9), "/402 /401");
  store_->Maintain();
  EXPECT_EQ(directory_.Names(".corrupt").size(), 1u);
  EXPECT_EQ(Paths(ReadAll(*store_, {.order = ScanOrder::kRowAscending})), "/401 /402");
}

TEST_F(SqliteStoreTest, SetsAFileOfAnotherSchemaAside) {
  Open();
  Store(MakeBatch(1, 1, 2));
  store_.reset();
  {
    auto database =
        Database::Open(directory_.path() + "/events-2030010112.db", Database::Mode::kExisting);
    ASSERT_TRUE(database.ok());
    ASSERT_TRUE(database->Execute("PRAGMA user_version=2").ok());
  }
  Open();
  EXPECT_TRUE(ReadAll(*store_).empty());
  EXPECT_EQ(directory_.Names(".schema-2").size(), 1u);
}

TEST_F(SqliteStoreTest, RemovesFilesSetAsideAfterTheRetentionTime) {
  Open();
  std::ofstream(directory_.path() + "/events-2000010100.db.corrupt") << "old";
  store_->Maintain();
  EXPECT_TRUE(directory_.Names(".corrupt").empty());
}

TEST_F(SqliteStoreTest, RefusesADirectoryInUse) {
  Open();
  const auto second = SqliteStore::Open(options_, &clock_);
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()), testing::HasSubstr("in use"));
}

TEST_F(SqliteStoreTest, RefusesADirectoryThatCannotBeMade) {
  options_.directory = directory_.path() + "/file/store";
  std::ofstream(directory_.path() + "/file") << "x";
  EXPECT_FALSE(SqliteStore::Open(options_, &clock_).ok());
}

// A limit on the size of files stands in for a full disk.
TEST_F(SqliteStoreTest, RecoversFromAFullDisk) {
  Open();
  Store(MakeBatch(1, 1, 2));
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit limit;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit full{.rlim_cur = 4096, .rlim_max = limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &full), 0);
  const auto failed = WriteBatch(*store_, MakeBatch(1, 3, 500));
  setrlimit(RLIMIT_FSIZE, &limit);
  EXPECT_FALSE(failed.ok());
  ASSERT_EQ(store_->Positions("node-a").size(), 1u);
  EXPECT_EQ(store_->Positions("node-a")[0].sequence, 2u);
  EXPECT_EQ(Store(MakeBatch(1, 3, 500)).stored, 500u);
  EXPECT_EQ(ReadAll(*store_).size(), 502u);
}

TEST_F(SqliteStoreTest, AFailedWriteTakesThoseBehindItAlong) {
  Open();
  const auto chain = std::make_shared<WriteChain>();
  chain->failed = true;
  std::promise<absl::Status> done;
  store_->Submit(
      chain, BatchWrite{MakeOrigin(1), MakeBatch(1, 5, 1)},
      [&](const absl::StatusOr<WriteResult>& result) { done.set_value(result.status()); });
  EXPECT_FALSE(done.get_future().get().ok());
  EXPECT_TRUE(store_->Positions("node-a").empty());
}

TEST_F(SqliteStoreTest, WakesThoseWhoWaitForRows) {
  Open();
  EXPECT_EQ(store_->WaitForRows(0, 0), 0u);
  std::thread writer([&] { Store(MakeBatch(1, 1, 2)); });
  EXPECT_GE(store_->WaitForRows(0, 60 * kSecondNs), 1u);
  writer.join();
}

TEST_F(SqliteStoreTest, StopsWhenAsked) {
  Open();
  Store(MakeBatch(1, 1, 100));
  int asked = 0;
  const auto end =
      store_->Scan({.order = ScanOrder::kRowAscending},
                   {.on_event = [](const ScanPosition&, const v1::HttpEvent&) { return true; },
                    .keep_going = [&] { return ++asked <= 10; }});
  ASSERT_TRUE(end.ok());
  EXPECT_FALSE(end->complete);
  EXPECT_EQ(end->position->row, 10u);
}

}  // namespace
}  // namespace podtap::store::sqlite
