#include "agent/exporter/event_encoder.h"

#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/unit/exporter/event_builder.h"

namespace podtap::exporter {
namespace {

// The message in text form; an empty difference means that they are equal.
std::string Difference(const v1::HttpEvent& event, const char* expected_text) {
  v1::HttpEvent expected;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(expected_text, &expected));
  std::string difference;
  google::protobuf::util::MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&difference);
  differencer.Compare(expected, event);
  return difference;
}

TEST(EncodeEvent, FillsEveryField) {
  v1::HttpEvent out;
  EncodeEvent(MakeFullEvent(), kOrigin, 17, out);
  EXPECT_EQ(Difference(out, R"(
    id: "node-1/00c0ffee00c0ffee/17"
    exchange_key: "fedcba9876543210"
    node_name: "node-1"
    cluster_name: "test"
    reporter: REPORTER_SERVER
    capture {
      interface_name: "veth1" interface_index: 101 mode: CAPTURE_MODE_HOST_VETH
      connection_id: 1000001 exchange_index: 4
    }
    start_time { seconds: 1700000000 nanos: 123456789 }
    request_end_time { seconds: 1700000000 nanos: 123466789 }
    response_start_time { seconds: 1700000000 nanos: 123476789 }
    end_time { seconds: 1700000003 nanos: 123486789 }
    time_to_first_byte { nanos: 20000 }
    duration { seconds: 3 nanos: 30000 }
    source {
      ip: "10.0.0.1" port: 40001 kind: ENDPOINT_KIND_NODE node_name: "node-1"
      metadata_state: METADATA_STATE_RESOLVED
    }
    destination {
      ip: "10.0.0.2" port: 8080 kind: ENDPOINT_KIND_POD namespace: "shop" pod_name: "web"
      node_name: "node-1" metadata_state: METADATA_STATE_STALE
      pod_uid: "0f8fad5b-d9cb-469f-a165-70867728950e" container_name: "nginx"
      container_image: "docker.io/library/nginx:1.25"
      workload { kind: "Deployment" name: "web-deployment" } service_name: "storefront"
      labels { key: "app" value: "web" } labels { key: "tier" value: "front" }
      labels { key: "empty" value: "" }
    }
    request {
      method: "POST" path: "/a/b" query: "q=REDACTED" host: "api.shop:8080" scheme: "http"
      protocol_version: "1.0" user_agent: "curl/8" content_type: "application/json"
      headers { name: "accept" value: "*/*" } headers { name: "x-request-id" value: "42" }
      header_size: 301 body_size: 302
    }
    response {
      status_code: 503 content_type: "text/event-stream"
      headers { name: "content-length" value: "404" }
      header_size: 303 body_size: 304
      informational_status_codes: 100 informational_status_codes: 103
    }
    trace_id: "0af7651916cd43dd8448eb211c80319c"
    span_id: "b7ad6b7169203331"
    upgrade_protocol: "websocket"
    is_event_stream: true
    is_probe: true
    outcome: OUTCOME_UPGRADED
    flags: EXCHANGE_FLAG_GAP flags: EXCHANGE_FLAG_FRAMING_INFERRED
    sample_ratio: 1
  )"),
            "");
}

TEST(EncodeEvent, LeavesOutWhatThereIsNot) {
  v1::HttpEvent out;
  EncodeEvent(MakeFullEvent(), kOrigin, 1, out);
  EncodeEvent(MakeEvent(), kOrigin, 2, out);
  EXPECT_FALSE(out.has_response());
  EXPECT_FALSE(out.has_response_start_time());
  EXPECT_FALSE(out.has_time_to_first_byte());
  EXPECT_EQ(out.destination().kind(), v1::ENDPOINT_KIND_UNKNOWN);
  EXPECT_EQ(out.destination().node_name(), "");
  EXPECT_EQ(out.flags_size(), 0);
}

TEST(EncodeEvent, NamesAContainerOnlyWhenThereIsOne) {
  discovery::PodIdentity pod;
  enrichment::Event event = MakeFullEvent();
  for (const size_t containers : {0, 1, 2}) {
    pod.containers.assign(containers, {.name = "nginx", .image = "nginx:1.25"});
    event.destination.pod = std::make_shared<discovery::PodIdentity>(pod);
    v1::HttpEvent out;
    EncodeEvent(event, kOrigin, 1, out);
    EXPECT_EQ(out.destination().container_name(), containers == 1 ? "nginx" : "");
    EXPECT_EQ(out.destination().container_image(), containers == 1 ? "nginx:1.25" : "");
    EXPECT_FALSE(out.destination().has_workload());
  }
}

TEST(EncodeEvent, NamesOfFilesAreMadeSafe) {
  enrichment::Event event = MakeEvent();
  event.tap = enrichment::MakeTap(1, "we\xff\n");
  event.source.pod = event.tap->pod;
  event.source.kind = enrichment::EndpointKind::kPod;
  v1::HttpEvent out;
  EncodeEvent(event, kOrigin, 1, out);
  EXPECT_EQ(out.source().pod_name(), "we%FF%0A");
}

}  // namespace
}  // namespace podtap::exporter
