// Sends prebuilt batches to a collector as fast as it acknowledges them: how much it can store.
//
//   ingest_load --collector HOST:PORT --streams N --seconds S
//
// Each stream is a node of its own. Prints one line of JSON: {"events": N, "seconds": S,
// "bytes_per_event": B}, counting what was acknowledged; B is what the batches take. With
// --names-only nothing but their names is known of the pods.
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_format.h"
#include "agent/discovery/pod_description.h"
#include "agent/exporter/batch_builder.h"
#include "agent/exporter/collector_stream.h"
#include "common/clock.h"
#include "common/command_line.h"
#include "common/grpc_target.h"

namespace podtap {
namespace {

using exporter::CollectorStream;
using std::chrono::steady_clock;

constexpr uint32_t kEventsPerBatch = 500;
constexpr int kPrebuilt = 8;
constexpr uint64_t kMaxInFlight = 16;
constexpr uint32_t kPods = 20;

using Pods = std::vector<std::shared_ptr<const discovery::PodIdentity>>;

// Pods of Deployments, with the labels that a chart gives them.
Pods MakePods(bool names_only) {
  Pods pods;
  for (uint32_t i = 0; i < kPods; ++i) {
    auto pod = std::make_shared<discovery::PodIdentity>();
    pod->namespace_name = "shop";
    const std::string name = absl::StrFormat("web-%d", i / 4);
    pod->pod_name = absl::StrFormat("%s-7d4b9c6f5b-x2x%dk", name, i % 4 + 4);
    if (!names_only) {
      pod->pod_uid = absl::StrFormat("0f8fad5b-d9cb-469f-a165-7086772895%02d", i);
      pod->labels = {{"app.kubernetes.io/component", "frontend"},
                     {"app.kubernetes.io/instance", name},
                     {"app.kubernetes.io/managed-by", "Helm"},
                     {"app.kubernetes.io/name", "web"},
                     {"app.kubernetes.io/part-of", "shop"},
                     {"app.kubernetes.io/version", "1.25.3"},
                     {"helm.sh/chart", "web-4.2.1"},
                     {"pod-template-hash", "7d4b9c6f5b"}};
      pod->containers = {{.name = "web", .image = "registry.example/shop/web:1.25.3"}};
      DescribePod(*pod);
    }
    pods.push_back(std::move(pod));
  }
  return pods;
}

// An event as a busy service has them: few hosts and agents, some hundred paths.
enrichment::Event MakeEvent(const Pods& pods, uint32_t number, int64_t start_unix_ns) {
  enrichment::Event event;
  const auto& pod = pods[number % kPods];
  auto tap = std::make_shared<enrichment::TapInfo>();
  tap->interface_name = absl::StrFormat("veth%d", number % 20);
  tap->interface_index = 100 + number % 20;
  tap->pod = pod;
  event.tap = tap;
  event.exchange_key = 0x9e3779b97f4a7c15 * (number + 1);
  event.reporter = enrichment::Reporter::kServer;
  event.connection_id = number / 50 + 1;
  event.exchange_index = number % 50;
  event.start_unix_ns = start_unix_ns + number * int64_t{20'000};
  event.request_end_ns = 1'000;
  event.response_start_ns = 300'000 + number % 1000 * 1'000;
  event.end_ns = event.response_start_ns + 50'000;
  event.source.ip = *IpAddress::Parse(absl::StrFormat("10.0.1.%d", number % 50));
  event.source.port = 40'000 + number % 1000;
  event.destination.ip = *IpAddress::Parse(absl::StrFormat("10.0.2.%d", number % 20));
  event.destination.port = 8080;
  event.destination.pod = pod;
  event.destination.kind = enrichment::EndpointKind::kPod;
  event.destination.metadata_state = enrichment::MetadataState::kResolved;
  event.request.method = number % 10 == 0 ? "POST" : "GET";
  event.request.path = absl::StrFormat("/api/v1/items/%d", number % 300);
  event.request.host = "web.shop:8080";
  event.request.protocol_version = "1.1";
  event.request.user_agent = "wrk/4";
  event.request.headers = {{"accept", "*/*"}};
  event.request.header_size = 120;
  event.response.emplace();
  event.response->status_code = number % 100 == 0 ? 500 : 200;
  event.response->content_type = "application/json";
  event.response->headers = {{"content-length", "512"}};
  event.response->header_size = 180;
  event.response->body_size = 512;
  return event;
}

std::vector<std::string> Prebuild(const exporter::EventOrigin& origin, bool names_only) {
  std::vector<std::string> messages;
  const Pods pods = MakePods(names_only);
  exporter::BatchBuilder builder(origin, {.max_events = kEventsPerBatch, .max_bytes = 1 << 20});
  const int64_t now_ns = SystemClock().WallNs();
  for (int batch = 0; batch < kPrebuilt; ++batch) {
    for (uint32_t i = 0; i < kEventsPerBatch; ++i) {
      builder.Add(MakeEvent(pods, batch * kEventsPerBatch + i, now_ns), i + 1, 0);
    }
    messages.push_back(builder.Finish().message);
  }
  return messages;
}

// A prebuilt batch under another sequence and time. Serialized messages that follow each other are
// one message, in which the last value of a field counts.
std::string Renumber(const std::string& message, uint64_t first_sequence, int64_t base_unix_ns) {
  v1::StreamEventsRequest change;
  change.mutable_batch()->set_first_sequence(first_sequence);
  change.mutable_batch()->set_base_time_unix_ns(base_unix_ns);
  return message + change.SerializeAsString();
}

// What an event takes on the wire, in full batches.
double BytesPerEvent(bool names_only) {
  uint64_t bytes = 0;
  for (const std::string& message : Prebuild({.node_name = "bench", .epoch = 1}, names_only)) {
    bytes += message.size();
  }
  return static_cast<double>(bytes) / (kPrebuilt * kEventsPerBatch);
}

// One agent's stream, until the deadline. Returns the events acknowledged.
uint64_t RunStream(const HostPort& collector, int number, bool names_only,
                   steady_clock::time_point deadline) {
  exporter::EventOrigin origin{.node_name = absl::StrFormat("bench-%d", number),
                               .cluster_name = "",
                               .epoch = 0xb0000000ULL + static_cast<uint64_t>(number)};
  const std::vector<std::string> messages = Prebuild(origin, names_only);
  CollectorStream stream(exporter::CreateCollectorChannel(collector, nullptr));
  const SystemClock clock;
  uint64_t sent = 0;
  uint64_t acked = 0;
  bool greeted = false;
  bool welcome = false;
  while (steady_clock::now() < deadline ||
         (acked < sent && steady_clock::now() < deadline + std::chrono::seconds(10))) {
    if (stream.can_write() && !greeted) {
      greeted = true;
      v1::StreamEventsRequest request;
      request.mutable_hello()->set_node_name(origin.node_name);
      request.mutable_hello()->set_epoch(origin.epoch);
      request.mutable_hello()->set_agent_version("bench");
      request.mutable_hello()->set_protocol_version(1);
      stream.Write(std::make_shared<const std::string>(request.SerializeAsString()));
    } else if (stream.can_write() && welcome && steady_clock::now() < deadline &&
               sent - acked < kMaxInFlight * kEventsPerBatch) {
      const std::string& message = messages[sent / kEventsPerBatch % kPrebuilt];
      stream.Write(
          std::make_shared<const std::string>(Renumber(message, sent + 1, clock.WallNs())));
      sent += kEventsPerBatch;
    }
    switch (stream.Wait(std::chrono::milliseconds(50))) {
      case CollectorStream::Step::kMessage:
        welcome = true;
        if (stream.message().has_ack()) {
          acked = stream.message().ack().acked_sequence();
        }
        break;
      case CollectorStream::Step::kEnded:
        std::fprintf(stderr, "ingest_load: %s\n", stream.status().ToString().c_str());
        return acked;
      case CollectorStream::Step::kTimeout:
      case CollectorStream::Step::kStarted:
      case CollectorStream::Step::kWritten:
        break;
    }
  }
  return acked;
}

}  // namespace
}  // namespace podtap

int main(int argc, char** argv) {
  std::string collector;
  int streams = 2;
  double seconds = 5;
  bool names_only = false;
  CLI::App app("Sends prebuilt batches to a collector", "ingest_load");
  app.add_option("--collector", collector, "Where to")->type_name("HOST:PORT")->required();
  app.add_option("--streams", streams, "Streams at once, each a node");
  app.add_option("--seconds", seconds, "How long");
  app.add_flag("--names-only", names_only, "Nothing but their names is known of the pods");
  if (const auto exit_code = podtap::ParseCommandLine(app, argc, argv)) {
    return *exit_code;
  }
  const absl::StatusOr<podtap::HostPort> target = podtap::ParseHostPort("--collector", collector);
  if (!target.ok()) {
    return podtap::ReportFailure("ingest_load", target.status());
  }
  std::atomic<uint64_t> events{0};
  const auto start = std::chrono::steady_clock::now();
  const auto deadline = start + std::chrono::milliseconds(static_cast<int64_t>(seconds * 1e3));
  std::vector<std::thread> threads;
  for (int i = 0; i < streams; ++i) {
    threads.emplace_back([&, i] { events += podtap::RunStream(*target, i, names_only, deadline); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  std::printf("{\"events\": %llu, \"seconds\": %.6f, \"bytes_per_event\": %.1f}\n",
              static_cast<unsigned long long>(events.load()), passed.count(),
              podtap::BytesPerEvent(names_only));
  return 0;
}
