// What goes into the store comes out again, once.
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>

#include "collector/ingest/batch_decoder.h"
#include "collector/store/sqlite/database.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/collector/sqlite_store_fixture.h"

namespace podtap::store::sqlite {
namespace {

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
             pod_uid: "u-1"
             container_name: "nginx"
             container_image: "nginx:1.25"
             workload { kind: "Deployment" name: "web" }
             service_name: "storefront"
             labels { key: "app" value: "web" }
             labels { key: "empty" value: "" }
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
             pod_uid: "u-1"
             container_name: "nginx"
             container_image: "nginx:1.25"
             workload { kind: "Deployment" name: "web" }
             service_name: "storefront"
             labels { key: "app" value: "web" }
             labels { key: "empty" value: "" }
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

// Labels are a map, whose order differs from message to message.
TEST_F(SqliteStoreTest, KeepsAnEndpointOnceHoweverItsLabelsAreOrdered) {
  Open();
  for (uint64_t sequence = 1; sequence <= 20; ++sequence) {
    v1::EventBatch batch = MakeBatch(1, sequence, 1);
    for (uint64_t i = 0; i < 30; ++i) {
      const std::string name = std::to_string((i * 7 + sequence) % 30);
      (*batch.mutable_endpoints(0)->mutable_labels())["label-" + name] = name;
    }
    Store(batch);
  }
  EXPECT_EQ(ReadAll(*store_).size(), 20u);
  store_.reset();
  const auto database =
      Database::Open(directory_.path() + "/events-2030010112.db", Database::Mode::kExisting);
  ASSERT_TRUE(database.ok()) << database.status();
  EXPECT_EQ(database->QueryInt("SELECT count(*) FROM endpoints", -1).value_or(-1), 2);
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

}  // namespace
}  // namespace podtap::store::sqlite
