#include "agent/exporter/batch_builder.h"

#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/exporter/batch_expander.h"
#include "tests/unit/exporter/event_builder.h"

namespace podtap::exporter {
namespace {

v1::EventBatch Parse(const Batch& batch) {
  v1::StreamEventsRequest request;
  EXPECT_TRUE(request.ParseFromString(batch.message));
  EXPECT_TRUE(request.has_batch());
  return request.batch();
}

// What the batch says is what the encoder says.
void ExpectMeans(const Batch& batch, const std::vector<enrichment::Event>& events) {
  const v1::EventBatch parsed = Parse(batch);
  EXPECT_EQ(parsed.first_sequence(), batch.first_sequence);
  EXPECT_EQ(batch.events, events.size());
  const std::vector<v1::HttpEvent> expanded =
      ExpandBatch(parsed, kOrigin.node_name, kOrigin.cluster_name);
  ASSERT_EQ(expanded.size(), events.size());
  for (size_t i = 0; i < events.size(); ++i) {
    v1::HttpEvent expected;
    EncodeEvent(events[i], kOrigin, batch.first_sequence + i, expected);
    EXPECT_EQ(expanded[i].DebugString(), expected.DebugString());
  }
}

TEST(BatchBuilder, MeansWhatTheEncoderSays) {
  BatchBuilder builder(kOrigin, {});
  std::vector<enrichment::Event> events = {MakeFullEvent(), MakeEvent(), MakeFullEvent()};
  events[2].start_unix_ns -= 5'000'000'000;  // before the first
  events[2].destination.metadata_state = enrichment::MetadataState::kResolved;
  events[2].request.path = "/c";
  for (size_t i = 0; i < events.size(); ++i) {
    builder.Add(events[i], 41 + i, 0);
  }
  ExpectMeans(builder.Finish(), events);
}

TEST(BatchBuilder, SharesStringsAndEndpoints) {
  BatchBuilder builder(kOrigin, {});
  const enrichment::Event event = MakeFullEvent();
  for (int i = 0; i < 100; ++i) {
    builder.Add(event, 1 + i, 0);
  }
  const v1::EventBatch batch = Parse(builder.Finish());
  EXPECT_EQ(batch.events_size(), 100);
  EXPECT_EQ(batch.strings(0), "");
  EXPECT_LT(batch.strings_size(), 30);
  EXPECT_EQ(batch.endpoints_size(), 2);
}

// What is known of a pod changes; its events before and after are told apart.
TEST(BatchBuilder, KeepsWhatWasKnownOfAPodApart) {
  BatchBuilder builder(kOrigin, {});
  std::vector<enrichment::Event> events = {MakeFullEvent(), MakeFullEvent()};
  auto relabelled = std::make_shared<discovery::PodIdentity>(*events[1].destination.pod);
  relabelled->labels = {{"app", "other"}};
  events[1].destination.pod = relabelled;
  builder.Add(events[0], 1, 0);
  builder.Add(events[1], 2, 0);
  ExpectMeans(builder.Finish(), events);
}

TEST(BatchBuilder, StartsAnewAfterEachBatch) {
  BatchBuilder builder(kOrigin, {});
  builder.Add(MakeFullEvent(), 1, 0);
  builder.Finish();
  EXPECT_TRUE(builder.empty());
  builder.Add(MakeEvent("/x"), 2, 0);
  ExpectMeans(builder.Finish(), {MakeEvent("/x")});
  builder.Add(MakeFullEvent(), 3, 0);
  ExpectMeans(builder.Finish(), {MakeFullEvent()});
}

// More pods than are kept from batch to batch, some of them seen again later.
TEST(BatchBuilder, ForgetsPodsWithoutMixingThemUp) {
  std::vector<enrichment::Event> events;
  for (int i = 0; i < 100; ++i) {
    events.push_back(MakeFullEvent());
    auto pod = std::make_shared<discovery::PodIdentity>(*events.back().destination.pod);
    pod->pod_name = "web-" + std::to_string(i);
    pod->labels["filler"] = std::string(100'000, 'x');
    events.back().destination.pod = std::move(pod);
  }
  BatchBuilder builder(kOrigin, {});
  uint64_t sequence = 0;
  for (int round = 0; round < 2; ++round) {
    for (size_t i = 0; i + 10 <= events.size(); i += 5) {
      const std::vector<enrichment::Event> some(events.begin() + static_cast<ptrdiff_t>(i),
                                                events.begin() + static_cast<ptrdiff_t>(i + 10));
      for (const enrichment::Event& event : some) {
        builder.Add(event, ++sequence, 0);
      }
      ExpectMeans(builder.Finish(), some);
    }
  }
}

TEST(BatchBuilder, IsFullByEvents) {
  BatchBuilder builder(kOrigin, {.max_events = 2});
  builder.Add(MakeEvent(), 1, 0);
  EXPECT_FALSE(builder.IsFull());
  builder.Add(MakeEvent(), 2, 0);
  EXPECT_TRUE(builder.IsFull());
}

TEST(BatchBuilder, IsFullByBytes) {
  BatchBuilder builder(kOrigin, {.max_events = 10'000, .max_bytes = 20'000});
  uint64_t sequence = 0;
  while (!builder.IsFull()) {
    ++sequence;
    builder.Add(MakeEvent("/" + std::string(1'000, 'p') + std::to_string(sequence)), sequence, 0);
  }
  EXPECT_GT(sequence, 10u);
  const uint64_t bound = builder.bytes();
  const Batch batch = builder.Finish();
  EXPECT_LE(batch.message.size(), bound);
  EXPECT_LE(batch.message.size(), 22'000u);
}

TEST(BatchBuilder, AgesFromItsFirstEvent) {
  BatchBuilder builder(kOrigin, {.max_age_ns = 100});
  EXPECT_FALSE(builder.IsAged(1'000'000));
  builder.Add(MakeEvent(), 1, 1'000);
  builder.Add(MakeEvent(), 2, 1'050);
  EXPECT_FALSE(builder.IsAged(1'099));
  EXPECT_TRUE(builder.IsAged(1'100));
  builder.Finish();
  EXPECT_FALSE(builder.IsAged(1'000'000));
}

TEST(BatchBuilder, StaysSmallWhateverTheEvent) {
  enrichment::Event event = MakeFullEvent();
  event.request.user_agent = std::string(5'000'000, 'u');
  for (int i = 0; i < 1'000; ++i) {
    event.request.headers.emplace_back(std::string(200, 'n') + std::to_string(i),
                                       std::string(2'000, 'v') + std::to_string(i));
    event.informational_status_codes.push_back(103);
  }
  BatchBuilder builder(kOrigin, {});
  uint64_t sequence = 0;
  while (!builder.IsFull()) {
    event.request.path = "/" + std::to_string(sequence) + std::string(30'000, 'p');
    builder.Add(event, ++sequence, 0);
  }
  EXPECT_EQ(builder.events_cut(), sequence);
  const Batch batch = builder.Finish();
  EXPECT_LE(batch.message.size(), 1u << 20);
  EXPECT_EQ(Parse(batch).events_size(), static_cast<int>(sequence));
}

TEST(BatchBuilder, BytesAreAnUpperBound) {
  enrichment::Event event = MakeFullEvent();
  event.exchange_key = ~uint64_t{0};
  event.connection_id = ~uint64_t{0};
  event.exchange_index = ~uint32_t{0};
  event.request_end_ns = event.response_start_ns = event.end_ns = ~uint64_t{0};
  event.request.header_size = event.request.body_size = ~uint64_t{0};
  event.response->header_size = event.response->body_size = ~uint64_t{0};
  event.flags = ~uint32_t{0};
  auto pod = std::make_shared<discovery::PodIdentity>(*event.destination.pod);
  for (int i = 0; i < 32; ++i) {
    pod->labels["label-" + std::to_string(i)] = std::string(50, 'v');
  }
  event.destination.pod = std::move(pod);
  BatchBuilder builder(kOrigin, {});
  for (uint64_t i = 1; i <= 400; ++i) {
    event.start_unix_ns = i % 2 == 0 ? INT64_MAX / 2 : INT64_MIN / 2;
    event.request.path = "/" + std::to_string(i);
    builder.Add(event, i, 0);
  }
  const uint64_t bound = builder.bytes();
  EXPECT_LE(builder.Finish().message.size(), bound);
}

}  // namespace
}  // namespace podtap::exporter
