#include "agent/exporter/batch_builder.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <utility>

#include "common/status.h"
#include "common/text.h"

namespace podtap::exporter {
namespace {

// Far above what an enricher lets through, and below what a collector takes. A batch holds at most
// one such event on top of a full one.
constexpr uint64_t kMaxTextBytesPerEvent = 128 * 1024;
constexpr uint64_t kMaxStringBytes = 32 * 1024;
// The batch's own scalar fields, and the tags and lengths around it.
constexpr uint64_t kBatchOverheadBytes = 64;
// Of endpoints that are kept from batch to batch.
constexpr uint64_t kMaxKnownBytes = 4 << 20;
// Tag and length of a string.
constexpr uint64_t kEntryOverheadBytes = 6;
// A BatchEvent with every scalar field at its largest, its tag and its length.
constexpr uint64_t kMaxEventBytes = 320;
// A repeated index at its largest.
constexpr uint64_t kMaxIndexBytes = 5;
// An event refers to at most this many header fields and interim responses.
constexpr size_t kMaxHeaders = 128;
constexpr size_t kMaxInformational = 32;

}  // namespace

BatchBuilder::BatchBuilder(EventOrigin origin, const BatchLimits& limits)
    : origin_(std::move(origin)), limits_(limits), batch_(message_.mutable_batch()) {}

void BatchBuilder::Open(const enrichment::Event& event, uint64_t sequence, int64_t now_ns) {
  opened_ns_ = now_ns;
  batch_->set_epoch(origin_.epoch);
  batch_->set_first_sequence(sequence);
  batch_->set_base_time_unix_ns(event.start_unix_ns);
  batch_->add_strings()->clear();
  bytes_ = kBatchOverheadBytes;
  strings_.reserve(limits_.max_events * 2);
}

void BatchBuilder::Add(const enrichment::Event& event, uint64_t sequence, int64_t now_ns) {
  if (events_ == 0) {
    Open(event, sequence, now_ns);
  }
  PODTAP_CHECK(sequence == batch_->first_sequence() + events_);
  text_budget_ = kMaxTextBytesPerEvent;
  cut_ = false;
  place_ = 0;
  v1::BatchEvent& out = *batch_->add_events();
  out.set_exchange_key(event.exchange_key);
  out.set_reporter(static_cast<v1::Reporter>(event.reporter));
  out.set_interface_name_string(String(SafeText(event.tap->interface_name)));
  out.set_interface_index(event.tap->interface_index);
  out.set_capture_mode(static_cast<v1::CaptureMode>(event.tap->mode));
  out.set_connection_id(event.connection_id);
  out.set_exchange_index(event.exchange_index);
  out.set_start_offset_ns(event.start_unix_ns - batch_->base_time_unix_ns());
  out.set_request_end_ns(event.request_end_ns);
  out.set_end_ns(event.end_ns);
  out.set_source_endpoint(Endpoint(event.source));
  out.set_source_port(event.source.port);
  out.set_destination_endpoint(Endpoint(event.destination));
  out.set_destination_port(event.destination.port);
  AddRequest(event.request, out);
  if (event.response) {
    AddResponse(event, out);
  }
  out.set_trace_id_string(String(event.trace_id));
  out.set_span_id_string(String(event.span_id));
  out.set_upgrade_protocol_string(String(event.upgrade_protocol));
  out.set_is_event_stream(event.is_event_stream);
  out.set_is_probe(event.is_probe);
  out.set_outcome(static_cast<v1::Outcome>(event.outcome));
  out.set_flag_bits(event.flags);
  out.set_sample_ratio(1.0);
  bytes_ += kMaxEventBytes + kMaxIndexBytes * (out.request_header_strings_size() +
                                               out.response_header_strings_size() +
                                               out.informational_status_codes_size());
  ++events_;
  events_cut_ += cut_ ? 1 : 0;
}

void BatchBuilder::AddRequest(const enrichment::EventRequest& request, v1::BatchEvent& out) {
  out.set_method_string(String(request.method));
  out.set_path_string(String(request.path));
  out.set_query_string(String(request.query));
  out.set_host_string(String(request.host));
  out.set_protocol_version_string(String(request.protocol_version));
  out.set_user_agent_string(String(request.user_agent));
  out.set_request_content_type_string(String(request.content_type));
  AddHeaders(request.headers, *out.mutable_request_header_strings());
  out.set_request_header_size(request.header_size);
  out.set_request_body_size(request.body_size);
}

void BatchBuilder::AddResponse(const enrichment::Event& event, v1::BatchEvent& out) {
  const enrichment::EventResponse& response = *event.response;
  out.set_has_response(true);
  out.set_response_start_ns(event.response_start_ns);
  out.set_status_code(response.status_code);
  out.set_response_content_type_string(String(response.content_type));
  AddHeaders(response.headers, *out.mutable_response_header_strings());
  out.set_response_header_size(response.header_size);
  out.set_response_body_size(response.body_size);
  for (const uint16_t code : event.informational_status_codes) {
    if (static_cast<size_t>(out.informational_status_codes_size()) == kMaxInformational) {
      cut_ = true;
      break;
    }
    out.add_informational_status_codes(code);
  }
}

void BatchBuilder::AddHeaders(const enrichment::Headers& headers,
                              google::protobuf::RepeatedField<uint32_t>& out) {
  size_t left = kMaxHeaders;
  for (const auto& [name, value] : headers) {
    if (left-- == 0) {
      cut_ = true;
      return;
    }
    out.Add(String(name));
    out.Add(String(value));
  }
}

uint32_t BatchBuilder::String(std::string_view text) {
  const size_t place = place_++;
  if (text.empty()) {
    return 0;
  }
  if (text.size() > std::min(text_budget_, kMaxStringBytes)) {
    cut_ = true;
    return 0;
  }
  text_budget_ -= text.size();
  if (place >= memos_.size()) {
    return LookUp(text);
  }
  Memo& memo = memos_[place];
  if (memo.text != text) {
    memo.index = LookUp(text);
    memo.text = batch_->strings(static_cast<int>(memo.index));
  }
  return memo.index;
}

uint32_t BatchBuilder::LookUp(std::string_view text) {
  const auto found = strings_.find(absl::string_view(text.data(), text.size()));
  if (found != strings_.end()) {
    return found->second;
  }
  const auto index = static_cast<uint32_t>(batch_->strings_size());
  std::string* copy = batch_->add_strings();
  copy->assign(text);
  strings_.emplace(*copy, index);
  bytes_ += kEntryOverheadBytes + text.size();
  return index;
}

uint32_t BatchBuilder::Endpoint(const enrichment::Endpoint& endpoint) {
  const EndpointId id{.ip = endpoint.ip,
                      .pod = endpoint.pod.get(),
                      .kind = endpoint.kind,
                      .state = endpoint.metadata_state};
  KnownEndpoint& known = known_endpoints_[id];
  if (known.bytes.empty()) {
    v1::EventBatch alone;
    EncodeEndpoint(endpoint, origin_.node_name, *alone.add_endpoints());
    PODTAP_CHECK(alone.SerializeToString(&known.bytes));
    known.pod = endpoint.pod;
    known_bytes_ += known.bytes.size() + sizeof(EndpointId) + sizeof(KnownEndpoint);
  }
  if (known.batch != batch_number_) {
    known.batch = batch_number_;
    known.index = endpoint_count_++;
    endpoints_ += known.bytes;
    bytes_ += known.bytes.size();
  }
  return known.index;
}

// Serialized messages that follow each other are one message, and a message inside it that comes
// twice is one of both: so what is serialized already need not be read for being sent.
void BatchBuilder::AppendEndpoints(std::string& message) const {
  google::protobuf::io::StringOutputStream stream(&message);
  google::protobuf::io::CodedOutputStream out(&stream);
  using WireFormat = google::protobuf::internal::WireFormatLite;
  out.WriteTag(WireFormat::MakeTag(v1::StreamEventsRequest::kBatchFieldNumber,
                                   WireFormat::WIRETYPE_LENGTH_DELIMITED));
  out.WriteVarint32(static_cast<uint32_t>(endpoints_.size()));
  out.WriteString(endpoints_);
}

Batch BatchBuilder::Finish() {
  PODTAP_CHECK(events_ > 0);
  Batch done{.first_sequence = batch_->first_sequence(), .events = events_};
  PODTAP_CHECK(message_.SerializeToString(&done.message));
  AppendEndpoints(done.message);
  // Clear() of the batch alone keeps its memory.
  batch_->Clear();
  strings_.clear();
  memos_.fill({});
  endpoints_.clear();
  endpoint_count_ = 0;
  ++batch_number_;
  if (known_bytes_ > kMaxKnownBytes) {
    known_endpoints_.clear();
    known_bytes_ = 0;
  }
  events_ = 0;
  bytes_ = 0;
  return done;
}

}  // namespace podtap::exporter
