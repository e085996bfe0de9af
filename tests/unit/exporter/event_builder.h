// Events for the tests of the exporter.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "agent/exporter/event_encoder.h"
#include "tests/unit/enrichment/exchange_builder.h"

namespace podtap::exporter {

inline const EventOrigin kOrigin{
    .node_name = "node-1", .cluster_name = "test", .epoch = 0x00c0ffee00c0ffee};

// The least that an event has.
inline enrichment::Event MakeEvent(const std::string& path = "/") {
  enrichment::Event event;
  event.tap = enrichment::MakeTap(1, "web");
  event.start_unix_ns = int64_t{1'700'000'000} * 1'000'000'000;
  event.end_ns = 1'000;
  event.source.ip = enrichment::Ip("10.0.0.1");
  event.destination.ip = enrichment::Ip("10.0.0.2");
  event.request.method = "GET";
  event.request.path = path;
  return event;
}

// Every field set, and to a value of its own.
inline enrichment::Event MakeFullEvent() {
  enrichment::Event event = MakeEvent("/a/b");
  event.exchange_key = 0xfedcba9876543210;
  event.reporter = enrichment::Reporter::kServer;
  event.connection_id = 1'000'001;
  event.exchange_index = 4;
  event.start_unix_ns += 123'456'789;
  event.request_end_ns = 10'000;
  event.response_start_ns = 20'000;
  event.end_ns = 3'000'030'000;
  event.source.port = 40001;
  event.destination.port = 8080;
  event.destination.kind = enrichment::EndpointKind::kPod;
  event.destination.metadata_state = enrichment::MetadataState::kStale;
  auto pod = std::make_shared<discovery::PodIdentity>(*event.tap->pod);
  pod->pod_uid = "0f8fad5b-d9cb-469f-a165-70867728950e";
  pod->labels = {{"app", "web"}, {"tier", "front"}, {"empty", ""}};
  pod->containers = {{.name = "nginx", .image = "docker.io/library/nginx:1.25"}};
  pod->workload = {.kind = "Deployment", .name = "web-deployment"};
  pod->service_name = "storefront";
  event.destination.pod = std::move(pod);
  event.source.kind = enrichment::EndpointKind::kNode;
  event.source.metadata_state = enrichment::MetadataState::kResolved;
  event.request.method = "POST";
  event.request.query = "q=REDACTED";
  event.request.host = "api.shop:8080";
  event.request.protocol_version = "1.0";
  event.request.user_agent = "curl/8";
  event.request.content_type = "application/json";
  event.request.headers = {{"accept", "*/*"}, {"x-request-id", "42"}};
  event.request.header_size = 301;
  event.request.body_size = 302;
  event.response.emplace();
  event.response->status_code = 503;
  event.response->content_type = "text/event-stream";
  event.response->headers = {{"content-length", "404"}};
  event.response->header_size = 303;
  event.response->body_size = 304;
  event.informational_status_codes = {100, 103};
  event.trace_id = "0af7651916cd43dd8448eb211c80319c";
  event.span_id = "b7ad6b7169203331";
  event.upgrade_protocol = "websocket";
  event.is_event_stream = true;
  event.is_probe = true;
  event.outcome = pairing::Outcome::kUpgraded;
  event.flags = static_cast<uint32_t>(pairing::Flag::kGap) |
                static_cast<uint32_t>(pairing::Flag::kFramingInferred);
  return event;
}

}  // namespace podtap::exporter
