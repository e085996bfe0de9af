#include "agent/exporter/event_encoder.h"

#include "absl/strings/str_format.h"
#include "common/text.h"

namespace podtap::exporter {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr size_t kMaxNameBytes = 256;

void SetTime(int64_t unix_ns, google::protobuf::Timestamp* out) {
  // Nanos count forward also before 1970.
  int64_t seconds = unix_ns / kNsPerSecond;
  int64_t nanos = unix_ns % kNsPerSecond;
  if (nanos < 0) {
    nanos += kNsPerSecond;
    --seconds;
  }
  out->set_seconds(seconds);
  out->set_nanos(static_cast<int32_t>(nanos));
}

void SetDuration(uint64_t ns, google::protobuf::Duration* out) {
  out->set_seconds(static_cast<int64_t>(ns / kNsPerSecond));
  out->set_nanos(static_cast<int32_t>(ns % kNsPerSecond));
}

void EncodeHeaders(const enrichment::Headers& headers,
                   google::protobuf::RepeatedPtrField<v1::Header>* out) {
  for (const auto& [name, value] : headers) {
    v1::Header* header = out->Add();
    header->set_name(name);
    header->set_value(value);
  }
}

void EncodeTimes(const enrichment::Event& event, v1::HttpEvent& out) {
  const auto at = [&](uint64_t offset_ns) {
    return event.start_unix_ns + static_cast<int64_t>(offset_ns);
  };
  SetTime(event.start_unix_ns, out.mutable_start_time());
  SetTime(at(event.request_end_ns), out.mutable_request_end_time());
  SetTime(at(event.end_ns), out.mutable_end_time());
  SetDuration(event.end_ns, out.mutable_duration());
  if (event.response) {
    SetTime(at(event.response_start_ns), out.mutable_response_start_time());
    SetDuration(event.response_start_ns, out.mutable_time_to_first_byte());
  }
}

void EncodeRequest(const enrichment::EventRequest& request, v1::HttpRequest& out) {
  out.set_method(request.method);
  out.set_path(request.path);
  out.set_query(request.query);
  out.set_host(request.host);
  out.set_scheme("http");
  out.set_protocol_version(request.protocol_version);
  out.set_user_agent(request.user_agent);
  out.set_content_type(request.content_type);
  EncodeHeaders(request.headers, out.mutable_headers());
  out.set_header_size(request.header_size);
  out.set_body_size(request.body_size);
}

void EncodeResponse(const enrichment::Event& event, v1::HttpResponse& out) {
  out.set_status_code(event.response->status_code);
  out.set_content_type(event.response->content_type);
  EncodeHeaders(event.response->headers, out.mutable_headers());
  out.set_header_size(event.response->header_size);
  out.set_body_size(event.response->body_size);
  for (const uint16_t code : event.informational_status_codes) {
    out.add_informational_status_codes(code);
  }
}

// What DescribePod() made of it: text is printable and bounded already.
void EncodeDescription(const discovery::PodIdentity& pod, v1::Endpoint& out) {
  out.set_pod_uid(pod.pod_uid);
  if (pod.containers.size() == 1) {
    out.set_container_name(pod.containers[0].name);
    out.set_container_image(pod.containers[0].image);
  }
  if (!pod.workload.kind.empty()) {
    out.mutable_workload()->set_kind(pod.workload.kind);
    out.mutable_workload()->set_name(pod.workload.name);
  }
  out.set_service_name(pod.service_name);
  for (const auto& [name, value] : pod.labels) {
    (*out.mutable_labels())[name] = value;
  }
}

}  // namespace

void EncodeEndpoint(const enrichment::Endpoint& endpoint, const std::string& node_name,
                    v1::Endpoint& out) {
  out.set_ip(endpoint.ip.ToString());
  out.set_kind(static_cast<v1::EndpointKind>(endpoint.kind));
  out.set_metadata_state(static_cast<v1::MetadataState>(endpoint.metadata_state));
  if (endpoint.pod != nullptr) {
    // A name can be that of a file, which may hold any bytes.
    out.set_namespace_(SafeText(endpoint.pod->namespace_name, kMaxNameBytes));
    out.set_pod_name(SafeText(endpoint.pod->pod_name, kMaxNameBytes));
    EncodeDescription(*endpoint.pod, out);
  }
  if (endpoint.kind != enrichment::EndpointKind::kUnknown) {
    out.set_node_name(node_name);
  }
}

void EncodeEvent(const enrichment::Event& event, const EventOrigin& origin, uint64_t sequence,
                 v1::HttpEvent& out) {
  out.Clear();
  out.set_id(absl::StrFormat("%s/%016x/%d", origin.node_name, origin.epoch, sequence));
  out.set_exchange_key(absl::StrFormat("%016x", event.exchange_key));
  out.set_node_name(origin.node_name);
  out.set_cluster_name(origin.cluster_name);
  out.set_reporter(static_cast<v1::Reporter>(event.reporter));
  v1::Capture* capture = out.mutable_capture();
  capture->set_interface_name(SafeText(event.tap->interface_name));
  capture->set_interface_index(event.tap->interface_index);
  capture->set_mode(static_cast<v1::CaptureMode>(event.tap->mode));
  capture->set_connection_id(event.connection_id);
  capture->set_exchange_index(event.exchange_index);
  EncodeTimes(event, out);
  EncodeEndpoint(event.source, origin.node_name, *out.mutable_source());
  out.mutable_source()->set_port(event.source.port);
  EncodeEndpoint(event.destination, origin.node_name, *out.mutable_destination());
  out.mutable_destination()->set_port(event.destination.port);
  EncodeRequest(event.request, *out.mutable_request());
  if (event.response) {
    EncodeResponse(event, *out.mutable_response());
  }
  out.set_trace_id(event.trace_id);
  out.set_span_id(event.span_id);
  out.set_upgrade_protocol(event.upgrade_protocol);
  out.set_is_event_stream(event.is_event_stream);
  out.set_is_probe(event.is_probe);
  out.set_outcome(static_cast<v1::Outcome>(event.outcome));
  // Bit N stands for the flag with number N.
  for (uint32_t number = 1; number < 32; ++number) {
    if ((event.flags >> number & 1) != 0) {
      out.add_flags(static_cast<v1::ExchangeFlag>(number));
    }
  }
  out.set_sample_ratio(1.0);
}

}  // namespace podtap::exporter
