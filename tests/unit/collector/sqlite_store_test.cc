#include "collector/store/sqlite/sqlite_store.h"

#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "collector/ingest/batch_decoder.h"
#include "collector/store/sqlite/database.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/collector/support.h"

namespace podtap::store::sqlite {
namespace {

class SqliteStoreTest : public testing::Test {
 protected:
  SqliteStoreTest() { options_.directory = directory_.path(); }

  void Open() {
    store_.reset();
    auto store = SqliteStore::Open(options_, &clock_);
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }

  WriteResult Store(const v1::EventBatch& batch, const std::string& node = "node-a") {
    const auto result = WriteBatch(*store_, batch, node);
    EXPECT_TRUE(result.ok()) << result.status();
    return result.value_or(WriteResult());
  }

  std::string LossText(int64_t begin_ns = 0, int64_t end_ns = 2 * kNoonNs) {
    const auto losses = store_->Losses(begin_ns, end_ns);
    EXPECT_TRUE(losses.ok()) << losses.status();
    std::string text;
    for (const v1::Loss& loss : *losses) {
      text += loss.node_name() + " " + std::to_string(loss.stage()) + " " + loss.name() + " " +
              std::to_string(loss.count()) + "\n";
    }
    return text;
  }

  TempDir directory_;
  FakeClock clock_;
  StoreOptions options_;
  std::unique_ptr<SqliteStore> store_;
};

TEST_F(SqliteStoreTest, GivesBackEveryField) {
  v1::EventBatch batch;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"pb(epoch: 255
           first_sequence: 9
           base_time_unix_ns: 1893499200000000000
           strings: [
             "",
             "veth1",
             "PUT",
             "/a",
             "q=*",
             "api",
             "1.0",
             "curl",
             "text/a",
             "h",
             "v",
             "text/b",
             "0af7651916cd43dd8448eb211c80319c",
             "b7ad6b7169203331",
             "websocket"
           ]
           endpoints {
             ip: "10.0.0.1"
             kind: ENDPOINT_KIND_POD
             namespace: "shop"
             pod_name: "web"
             node_name: "node-a"
             metadata_state: METADATA_STATE_STALE
           }
           endpoints {
             ip: "fd00::1"
             kind: ENDPOINT_KIND_UNKNOWN
             metadata_state: METADATA_STATE_UNRESOLVED
           }
           events {
             exchange_key: 48879
             reporter: REPORTER_SERVER
             interface_name_string: 1
             interface_index: 7
             capture_mode: CAPTURE_MODE_HOST_VETH
             connection_id: 8
             exchange_index: 2
             start_offset_ns: -1500000000
             request_end_ns: 1
             response_start_ns: 2
             end_ns: 3000000001
             source_endpoint: 0
             source_port: 1234
             destination_endpoint: 1
             destination_port: 80
             method_string: 2
             path_string: 3
             query_string: 4
             host_string: 5
             protocol_version_string: 6
             user_agent_string: 7
             request_content_type_string: 8
             request_header_strings: [ 9, 10 ]
             request_header_size: 11
             request_body_size: 12
             has_response: true
             status_code: 201
             response_content_type_string: 11
             response_header_strings: [ 9, 0 ]
             response_header_size: 13
             response_body_size: 14
             informational_status_codes: [ 100, 103 ]
             trace_id_string: 12
             span_id_string: 13
             upgrade_protocol_string: 14
             is_event_stream: true
             is_probe: true
             outcome: OUTCOME_UPGRADED
             flag_bits: 514
             sample_ratio: 0.5
           })pb",
      &batch));
  v1::HttpEvent expected;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      R"pb(id: "node-a/00000000000000ff/9"
           exchange_key: "000000000000beef"
           node_name: "node-a"
           cluster_name: "test"
           reporter: REPORTER_SERVER
           capture {
             interface_name: "veth1"
             interface_index: 7
             mode: CAPTURE_MODE_HOST_VETH
             connection_id: 8
             exchange_index: 2
           }
           start_time { seconds: 1893499198 nanos: 500000000 }
           request_end_time { seconds: 1893499198 nanos: 500000001 }
           response_start_time { seconds: 1893499198 nanos: 500000002 }
           end_time { seconds: 1893499201 nanos: 500000001 }
           time_to_first_byte { nanos: 2 }
           duration { seconds: 3 nanos: 1 }
           source {
             ip: "10.0.0.1"
             port: 1234
             kind: ENDPOINT_KIND_POD
             namespace: "shop"
             pod_name: "web"
             node_name: "node-a"
             metadata_state: METADATA_STATE_STALE
           }
           destination {
             ip: "fd00::1"
             port: 80
             kind: ENDPOINT_KIND_UNKNOWN
             metadata_state: METADATA_STATE_UNRESOLVED
           }
           request {
             method: "PUT"
             path: "/a"
             query: "q=*"
             host: "api"
             scheme: "http"
             protocol_version: "1.0"
             user_agent: "curl"
             content_type: "text/a"
             headers { name: "h" value: "v" }
             header_size: 11
             body_size: 12
           }
           response {
             status_code: 201
             content_type: "text/b"
             headers { name: "h" value: "" }
             header_size: 13
             body_size: 14
             informational_status_codes: [ 100, 103 ]
           }
           trace_id: "0af7651916cd43dd8448eb211c80319c"
           span_id: "b7ad6b7169203331"
           upgrade_protocol: "websocket"
           is_event_stream: true
           is_probe: true
           outcome: OUTCOME_UPGRADED
           flags: [ EXCHANGE_FLAG_MIDSTREAM, EXCHANGE_FLAG_FRAMING_INFERRED ]
           sample_ratio: 0.5)pb",
      &expected));
  ASSERT_TRUE(ingest::PrepareBatch(batch).ok());
  Open();
  Store(batch);
  const auto events = ReadAll(*store_);
  ASSERT_EQ(events.size(), 1u);
  std::string difference;
  google::protobuf::util::MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&difference);
  EXPECT_TRUE(differencer.Compare(expected, events[0])) << difference;
}

TEST_F(SqliteStoreTest, StoresEachSequenceOnce) {
  Open();
  EXPECT_EQ(Store(MakeBatch(1, 1, 3)).acked_sequence, 3u);
  const WriteResult again = Store(MakeBatch(1, 1, 3));
  EXPECT_EQ(again.acked_sequence, 3u);
  EXPECT_EQ(again.stored, 0u);
  EXPECT_EQ(again.duplicates, 3u);
  const WriteResult overlap = Store(MakeBatch(1, 2, 4));
  EXPECT_EQ(overlap.acked_sequence, 5u);
  EXPECT_EQ(overlap.stored, 2u);
  EXPECT_EQ(overlap.duplicates, 2u);
  EXPECT_EQ(Paths(ReadAll(*store_, {.order = ScanOrder::kRowAscending})), "/1 /2 /3 /4 /5");
  EXPECT_EQ(LossText(), "");
}

TEST_F(SqliteStoreTest, KeepsEpochsAndNodesApart) {
  Open();
  Store(MakeBatch(1, 1, 2));
  EXPECT_EQ(Store(MakeBatch(2, 1, 2)).stored, 2u);
  EXPECT_EQ(Store(MakeBatch(1, 1, 2), "node-b").stored, 2u);
  EXPECT_EQ(store_->Positions("node-a").size(), 2u);
  EXPECT_EQ(store_->Positions("node-b").size(), 1u);
  EXPECT_TRUE(store_->Positions("node-c").empty());
}

TEST_F(SqliteStoreTest, GoesOnAfterARestart) {
  Open();
  Store(MakeBatch(1, 1, 3));
  const StoreState before = store_->State();
  Open();
  EXPECT_EQ(store_->State().store_id, before.store_id);
  EXPECT_EQ(Store(MakeBatch(1, 2, 3)).stored, 1u);
  EXPECT_EQ(Paths(ReadAll(*store_, {.order = ScanOrder::kRowAscending})), "/1 /2 /3 /4");
  EXPECT_EQ(store_->State().last_row, 4u);
  EXPECT_EQ(store_->State().events, 4u);
}

TEST_F(SqliteStoreTest, GoesOnFromFilesCopiedInTheMiddleOfWriting) {
  Open();
  Store(MakeBatch(1, 1, 3));
  // What a killed process leaves: the database as it is, its log beside it, nothing closed.
  const TempDir copy;
  std::filesystem::copy(
      directory_.path(), copy.path(),
      std::filesystem::copy_options::recursive | std::filesystem::copy_options::overwrite_existing);
  ASSERT_FALSE(copy.Names("-wal").empty());
  options_.directory = copy.path();
  Open();
  EXPECT_EQ(Store(MakeBatch(1, 1, 4)).stored, 1u);
  EXPECT_EQ(Paths(ReadAll(*store_, {.order = ScanOrder::kRowAscending})), "/1 /2 /3 /4");
}

TEST_F(SqliteStoreTest, RecordsAHoleAsALoss) {
  Open();
  Store(MakeBatch(1, 1, 2));
  const WriteResult result = Store(MakeBatch(1, 6, 1));
  EXPECT_EQ(result.missing, 3u);
  EXPECT_EQ(result.acked_sequence, 6u);
  EXPECT_EQ(LossText(), "node-a 8 sequence_hole 3\n");
}

TEST_F(SqliteStoreTest, PassesOverASkippedRange) {
  Open();
  Store(MakeBatch(1, 1, 2));
  const SkipWrite skip{MakeOrigin(1), 2, 5, v1::LEDGER_STAGE_EXPORTER, "log_full"};
  auto result = WriteNow(*store_, skip);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->skipped, 3u);
  EXPECT_EQ(result->acked_sequence, 5u);
  EXPECT_EQ(WriteNow(*store_, skip)->skipped, 0u);
  EXPECT_EQ(Store(MakeBatch(1, 6, 1)).missing, 0u);
  EXPECT_EQ(LossText(), "node-a 7 log_full 3\n");
}

TEST_F(SqliteStoreTest, RecordsWhatLossCountersGrewBy) {
  const auto report = [&](uint64_t count) {
    LossWrite write{MakeOrigin(1), {}};
    v1::LedgerEntry& entry = write.counters.emplace_back();
    entry.set_stage(v1::LEDGER_STAGE_KERNEL);
    entry.set_name("ring_full");
    entry.set_count(count);
    ASSERT_TRUE(WriteNow(*store_, write).ok());
  };
  Open();
  report(5);
  clock_.Advance(10 * kSecondNs);
  report(5);
  report(7);
  EXPECT_EQ(LossText(), "node-a 1 ring_full 7\n");
  EXPECT_EQ(LossText(kNoonNs + kSecondNs), "node-a 1 ring_full 2\n");
  EXPECT_EQ(LossText(kNoonNs, kNoonNs + kSecondNs), "node-a 1 ring_full 5\n");
  // Known counts survive a restart and a new file, and a smaller count is no gain.
  clock_.Advance(kHourNs);
  Open();
  report(7);
  report(6);
  EXPECT_EQ(LossText(), "node-a 1 ring_full 7\n");
}

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
