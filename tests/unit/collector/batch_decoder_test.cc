#include "collector/ingest/batch_decoder.h"

#include <cmath>
#include <functional>
#include <limits>

#include "gtest/gtest.h"
#include "tests/unit/collector/support.h"

namespace podtap::ingest {
namespace {

TEST(RangeOf, GivesBothEnds) {
  const auto range = RangeOf(MakeBatch(7, 5, 3));
  ASSERT_TRUE(range.ok()) << range.status();
  EXPECT_EQ(range->first, 5u);
  EXPECT_EQ(range->last, 7u);
}

TEST(RangeOf, RefusesWhatCannotBeAcknowledged) {
  EXPECT_FALSE(RangeOf(MakeBatch(0, 5, 3)).ok()) << "epoch 0";
  EXPECT_FALSE(RangeOf(MakeBatch(7, 0, 3)).ok()) << "sequence 0";
  EXPECT_FALSE(RangeOf(MakeBatch(7, 5, 0)).ok()) << "no events";
  EXPECT_FALSE(RangeOf(MakeBatch(7, std::numeric_limits<uint64_t>::max(), 2)).ok()) << "overflow";
  EXPECT_FALSE(RangeOf(MakeBatch(7, uint64_t{1} << 62, 2)).ok()) << "too great";
  v1::DroppedRange dropped;
  dropped.set_epoch(7);
  dropped.set_first_sequence(5);
  dropped.set_last_sequence(4);
  EXPECT_FALSE(RangeOf(dropped).ok()) << "backwards";
}

struct Spoiled {
  const char* what;
  std::function<void(v1::EventBatch&)> spoil;
};

v1::BatchEvent& Event(v1::EventBatch& batch) { return *batch.mutable_events(0); }

class SpoiledBatch : public testing::TestWithParam<Spoiled> {};

TEST_P(SpoiledBatch, IsRefused) {
  v1::EventBatch batch = MakeBatch(7, 1, 2);
  ASSERT_TRUE(PrepareBatch(batch).ok());
  GetParam().spoil(batch);
  EXPECT_FALSE(PrepareBatch(batch).ok()) << GetParam().what;
}

constexpr uint32_t kFar = std::numeric_limits<uint32_t>::max();

INSTANTIATE_TEST_SUITE_P(
    All, SpoiledBatch,
    testing::Values(
        Spoiled{"no strings", [](auto& b) { b.clear_strings(); }},
        Spoiled{"strings[0]", [](auto& b) { b.set_strings(0, "x"); }},
        Spoiled{"long string",
                [](auto& b) { b.add_strings(std::string(kMaxStringBytes + 1, 'x')); }},
        Spoiled{"interface", [](auto& b) { Event(b).set_interface_name_string(kFar); }},
        Spoiled{"method", [](auto& b) { Event(b).set_method_string(kFar); }},
        Spoiled{"path", [](auto& b) { Event(b).set_path_string(b.strings_size()); }},
        Spoiled{"query", [](auto& b) { Event(b).set_query_string(kFar); }},
        Spoiled{"host", [](auto& b) { Event(b).set_host_string(kFar); }},
        Spoiled{"version", [](auto& b) { Event(b).set_protocol_version_string(kFar); }},
        Spoiled{"user agent", [](auto& b) { Event(b).set_user_agent_string(kFar); }},
        Spoiled{"request type", [](auto& b) { Event(b).set_request_content_type_string(kFar); }},
        Spoiled{"response type", [](auto& b) { Event(b).set_response_content_type_string(kFar); }},
        Spoiled{"trace id", [](auto& b) { Event(b).set_trace_id_string(kFar); }},
        Spoiled{"span id", [](auto& b) { Event(b).set_span_id_string(kFar); }},
        Spoiled{"upgrade", [](auto& b) { Event(b).set_upgrade_protocol_string(kFar); }},
        Spoiled{"header index",
                [](auto& b) {
                  Event(b).add_request_header_strings(0);
                  Event(b).add_request_header_strings(kFar);
                }},
        Spoiled{"odd headers", [](auto& b) { Event(b).add_response_header_strings(0); }},
        Spoiled{"many headers",
                [](auto& b) {
                  Event(b).mutable_request_header_strings()->Resize(2 * kMaxHeaders + 2, 0);
                }},
        Spoiled{"event too large when expanded",
                [](auto& b) {
                  b.add_strings(std::string(kMaxStringBytes, 'x'));
                  Event(b).mutable_request_header_strings()->Resize(8, b.strings_size() - 1);
                }},
        Spoiled{"source", [](auto& b) { Event(b).set_source_endpoint(2); }},
        Spoiled{"destination", [](auto& b) { Event(b).set_destination_endpoint(kFar); }},
        Spoiled{"source port", [](auto& b) { Event(b).set_source_port(65536); }},
        Spoiled{"destination port", [](auto& b) { Event(b).set_destination_port(kFar); }},
        Spoiled{"address", [](auto& b) { b.mutable_endpoints(0)->set_ip("10.0.0.256"); }},
        Spoiled{"no address", [](auto& b) { b.mutable_endpoints(0)->clear_ip(); }},
        Spoiled{"kind", [](auto& b) { b.mutable_endpoints(0)->clear_kind(); }},
        Spoiled{"long name",
                [](auto& b) { b.mutable_endpoints(0)->set_pod_name(std::string(1025, 'x')); }},
        Spoiled{"long uid",
                [](auto& b) { b.mutable_endpoints(0)->set_pod_uid(std::string(1025, 'x')); }},
        Spoiled{"long workload",
                [](auto& b) {
                  b.mutable_endpoints(0)->mutable_workload()->set_name(std::string(1025, 'x'));
                }},
        Spoiled{"many labels",
                [](auto& b) {
                  for (size_t i = 0; i <= kMaxLabels; ++i) {
                    (*b.mutable_endpoints(1)->mutable_labels())[std::to_string(i)] = "x";
                  }
                }},
        Spoiled{"long labels",
                [](auto& b) {
                  auto& labels = *b.mutable_endpoints(1)->mutable_labels();
                  labels["a"] = std::string(kMaxLabelTextBytes / 2, 'x');
                  labels["b"] = std::string(kMaxLabelTextBytes / 2, 'x');
                }},
        Spoiled{"reporter 0", [](auto& b) { Event(b).clear_reporter(); }},
        Spoiled{"reporter 3", [](auto& b) { Event(b).set_reporter(static_cast<v1::Reporter>(3)); }},
        Spoiled{"mode 0", [](auto& b) { Event(b).clear_capture_mode(); }},
        Spoiled{"outcome 0", [](auto& b) { Event(b).clear_outcome(); }},
        Spoiled{"outcome 99", [](auto& b) { Event(b).set_outcome(static_cast<v1::Outcome>(99)); }},
        Spoiled{"outcome -1", [](auto& b) { Event(b).set_outcome(static_cast<v1::Outcome>(-1)); }},
        Spoiled{"flag 0", [](auto& b) { Event(b).set_flag_bits(1); }},
        Spoiled{"ratio 0", [](auto& b) { Event(b).clear_sample_ratio(); }},
        Spoiled{"ratio 2", [](auto& b) { Event(b).set_sample_ratio(2); }},
        Spoiled{"ratio NaN", [](auto& b) { Event(b).set_sample_ratio(std::nan("")); }},
        Spoiled{"status", [](auto& b) { Event(b).set_status_code(1000); }},
        Spoiled{"informational", [](auto& b) { Event(b).add_informational_status_codes(kFar); }},
        Spoiled{"base time",
                [](auto& b) { b.set_base_time_unix_ns(std::numeric_limits<int64_t>::min()); }},
        Spoiled{"start time",
                [](auto& b) { Event(b).set_start_offset_ns(std::numeric_limits<int64_t>::max()); }},
        Spoiled{"start before 1970", [](auto& b) { Event(b).set_start_offset_ns(-2 * kNoonNs); }},
        Spoiled{"end time",
                [](auto& b) { Event(b).set_end_ns(std::numeric_limits<uint64_t>::max()); }}));

TEST(PrepareBatch, MakesStringsPrintable) {
  v1::EventBatch batch = MakeBatch(7, 1, 1);
  batch.set_strings(1, "G\x1b[31mET\xff");
  batch.mutable_endpoints(0)->set_pod_name("web\n");
  ASSERT_TRUE(PrepareBatch(batch).ok());
  EXPECT_EQ(batch.strings(1), "G%1B[31mET%FF");
  EXPECT_EQ(batch.endpoints(0).pod_name(), "web%0A");
}

TEST(PrepareBatch, MakesWhatIsKnownOfAPodPrintable) {
  v1::EventBatch batch = MakeBatch(7, 1, 1);
  v1::Endpoint& pod = *batch.mutable_endpoints(0);
  pod.set_pod_uid("u\n");
  pod.set_container_name("c\x1b");
  pod.set_container_image("i\xff");
  pod.mutable_workload()->set_kind("k\r");
  pod.mutable_workload()->set_name("w\t");
  pod.set_service_name("s\a");
  (*pod.mutable_labels())["a\n"] = "1\xc0";
  (*pod.mutable_labels())["b"] = "2";
  v1::Workload& workload = *pod.mutable_workload();
  workload.GetReflection()->MutableUnknownFields(&workload)->AddVarint(1000, 5);
  ASSERT_TRUE(PrepareBatch(batch).ok());
  EXPECT_EQ(pod.pod_uid(), "u%0A");
  EXPECT_EQ(pod.container_name(), "c%1B");
  EXPECT_EQ(pod.container_image(), "i%FF");
  EXPECT_EQ(pod.workload().kind(), "k%0D");
  EXPECT_EQ(pod.workload().name(), "w%09");
  EXPECT_EQ(pod.service_name(), "s%07");
  EXPECT_EQ(pod.labels().size(), 2u);
  EXPECT_EQ(pod.labels().at("a%0A"), "1%C0");
  EXPECT_EQ(pod.labels().at("b"), "2");
  EXPECT_TRUE(workload.GetReflection()->GetUnknownFields(workload).empty());
}

TEST(PrepareBatch, KeepsEnumValuesOfNewerAgents) {
  v1::EventBatch batch = MakeBatch(7, 1, 1);
  Event(batch).set_capture_mode(static_cast<v1::CaptureMode>(2));
  Event(batch).set_flag_bits(1u << 31);
  EXPECT_TRUE(PrepareBatch(batch).ok());
}

TEST(PrepareBatch, ForgetsFieldsItDoesNotKnow) {
  v1::EventBatch batch = MakeBatch(7, 1, 1);
  const size_t bytes = Event(batch).ByteSizeLong();
  Event(batch).GetReflection()->MutableUnknownFields(&Event(batch))->AddVarint(1000, 5);
  ASSERT_TRUE(PrepareBatch(batch).ok());
  EXPECT_EQ(Event(batch).ByteSizeLong(), bytes) << "an index in it would point to nowhere";
}

TEST(PrepareBatch, ClearsAResponseThatIsNone) {
  v1::EventBatch batch = MakeBatch(7, 1, 1);
  Event(batch).set_has_response(false);
  Event(batch).set_response_body_size(5);
  ASSERT_TRUE(PrepareBatch(batch).ok());
  EXPECT_EQ(Event(batch).status_code(), 0u);
  EXPECT_EQ(Event(batch).response_body_size(), 0u);
}

}  // namespace
}  // namespace podtap::ingest
