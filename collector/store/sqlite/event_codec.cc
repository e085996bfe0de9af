#include "collector/store/sqlite/event_codec.h"

#include "absl/strings/str_format.h"
#include "common/status.h"

namespace podtap::store::sqlite {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

void SetTime(google::protobuf::Timestamp& time, int64_t unix_ns) {
  int64_t seconds = unix_ns / kNsPerSecond;
  int64_t nanos = unix_ns % kNsPerSecond;
  if (nanos < 0) {
    seconds -= 1;
    nanos += kNsPerSecond;
  }
  time.set_seconds(seconds);
  time.set_nanos(static_cast<int32_t>(nanos));
}

void SetDuration(google::protobuf::Duration& duration, uint64_t ns) {
  duration.set_seconds(static_cast<int64_t>(ns / kNsPerSecond));
  duration.set_nanos(static_cast<int32_t>(ns % kNsPerSecond));
}

void SetTimes(v1::HttpEvent& event, int64_t start_ns, const v1::BatchEvent& data) {
  SetTime(*event.mutable_start_time(), start_ns);
  SetTime(*event.mutable_request_end_time(),
          start_ns + static_cast<int64_t>(data.request_end_ns()));
  SetTime(*event.mutable_end_time(), start_ns + static_cast<int64_t>(data.end_ns()));
  SetDuration(*event.mutable_duration(), data.end_ns());
  if (data.has_response()) {
    SetTime(*event.mutable_response_start_time(),
            start_ns + static_cast<int64_t>(data.response_start_ns()));
    SetDuration(*event.mutable_time_to_first_byte(), data.response_start_ns());
  }
}

// Strings of one event by id; remembers the first failure so that callers check once.
class StringReader {
 public:
  explicit StringReader(Dictionary& dictionary) : dictionary_(dictionary) {}

  std::string operator()(int64_t id) {
    const absl::StatusOr<std::string_view> text = dictionary_.String(id);
    if (!text.ok()) {
      status_ = text.status();
      return "";
    }
    return std::string(*text);
  }
  const absl::Status& status() const { return status_; }

 private:
  Dictionary& dictionary_;
  absl::Status status_;
};

// `ids` are names and values in turn.
template <typename Ids>
void SetHeaders(google::protobuf::RepeatedPtrField<v1::Header>& headers, const Ids& ids,
                StringReader& string) {
  for (int i = 0; i + 1 < ids.size(); i += 2) {
    v1::Header& header = *headers.Add();
    header.set_name(string(ids[i]));
    header.set_value(string(ids[i + 1]));
  }
}

void SetRequest(v1::HttpRequest& request, const EventRow& row, const v1::BatchEvent& data,
                StringReader& string) {
  request.set_method(string(row.method));
  request.set_path(string(row.path));
  request.set_query(string(data.query_string()));
  request.set_host(string(data.host_string()));
  // Agents read plain text only.
  request.set_scheme("http");
  request.set_protocol_version(string(data.protocol_version_string()));
  request.set_user_agent(string(data.user_agent_string()));
  request.set_content_type(string(data.request_content_type_string()));
  SetHeaders(*request.mutable_headers(), data.request_header_strings(), string);
  request.set_header_size(data.request_header_size());
  request.set_body_size(data.request_body_size());
}

void SetResponse(v1::HttpResponse& response, const EventRow& row, const v1::BatchEvent& data,
                 StringReader& string) {
  response.set_status_code(static_cast<uint32_t>(row.status));
  response.set_content_type(string(data.response_content_type_string()));
  SetHeaders(*response.mutable_headers(), data.response_header_strings(), string);
  response.set_header_size(data.response_header_size());
  response.set_body_size(data.response_body_size());
  *response.mutable_informational_status_codes() = data.informational_status_codes();
}

absl::Status SetEndpoint(v1::Endpoint& endpoint, int64_t id, uint32_t port,
                         Dictionary& dictionary) {
  PODTAP_ASSIGN_OR_RETURN(const v1::Endpoint* known, dictionary.Endpoint(id));
  endpoint = *known;
  endpoint.set_port(port);
  return absl::OkStatus();
}

}  // namespace

EventRow ReadEventRow(const Statement& statement) {
  return EventRow{.row = static_cast<uint64_t>(statement.Int(0)),
                  .start_ns = statement.Int(1),
                  .reporter = statement.Int(2),
                  .status = statement.Int(3),
                  .method = statement.Int(4),
                  .path = statement.Int(5),
                  .source = statement.Int(6),
                  .destination = statement.Int(7),
                  .origin = statement.Int(8),
                  .sequence = static_cast<uint64_t>(statement.Int(9)),
                  .data = statement.Bytes(10)};
}

absl::StatusOr<EventFields> FieldsOf(const EventRow& row, Dictionary& dictionary) {
  EventFields fields;
  fields.reporter = static_cast<v1::Reporter>(row.reporter);
  fields.status_code = static_cast<uint32_t>(row.status);
  PODTAP_ASSIGN_OR_RETURN(fields.method, dictionary.String(row.method));
  PODTAP_ASSIGN_OR_RETURN(fields.path, dictionary.String(row.path));
  PODTAP_ASSIGN_OR_RETURN(const v1::Endpoint* source, dictionary.Endpoint(row.source));
  PODTAP_ASSIGN_OR_RETURN(const v1::Endpoint* destination, dictionary.Endpoint(row.destination));
  fields.source_namespace = source->namespace_();
  fields.source_pod = source->pod_name();
  fields.destination_namespace = destination->namespace_();
  fields.destination_pod = destination->pod_name();
  return fields;
}

absl::StatusOr<v1::HttpEvent> ExpandEvent(const EventRow& row, Dictionary& dictionary) {
  v1::BatchEvent data;
  if (!data.ParseFromArray(row.data.data(), static_cast<int>(row.data.size()))) {
    return absl::DataLossError("an event's data can't be read");
  }
  v1::HttpEvent event;
  PODTAP_ASSIGN_OR_RETURN(const Origin* origin, dictionary.OriginOf(row.origin));
  event.set_id(absl::StrFormat("%s/%016x/%d", origin->node_name, origin->epoch, row.sequence));
  event.set_exchange_key(absl::StrFormat("%016x", data.exchange_key()));
  event.set_node_name(origin->node_name);
  event.set_cluster_name(origin->cluster_name);
  event.set_reporter(static_cast<v1::Reporter>(row.reporter));
  SetTimes(event, row.start_ns, data);

  StringReader string(dictionary);
  v1::Capture& capture = *event.mutable_capture();
  capture.set_interface_name(string(data.interface_name_string()));
  capture.set_interface_index(data.interface_index());
  capture.set_mode(data.capture_mode());
  capture.set_connection_id(data.connection_id());
  capture.set_exchange_index(data.exchange_index());

  PODTAP_RETURN_IF_ERROR(
      SetEndpoint(*event.mutable_source(), row.source, data.source_port(), dictionary));
  PODTAP_RETURN_IF_ERROR(SetEndpoint(*event.mutable_destination(), row.destination,
                                     data.destination_port(), dictionary));
  SetRequest(*event.mutable_request(), row, data, string);
  if (data.has_response()) {
    SetResponse(*event.mutable_response(), row, data, string);
  }
  event.set_trace_id(string(data.trace_id_string()));
  event.set_span_id(string(data.span_id_string()));
  event.set_upgrade_protocol(string(data.upgrade_protocol_string()));
  event.set_is_event_stream(data.is_event_stream());
  event.set_is_probe(data.is_probe());
  event.set_outcome(data.outcome());
  for (int bit = 0; bit < 32; ++bit) {
    if ((data.flag_bits() >> bit & 1) != 0) {
      event.add_flags(static_cast<v1::ExchangeFlag>(bit));
    }
  }
  event.set_sample_ratio(data.sample_ratio());
  PODTAP_RETURN_IF_ERROR(string.status());
  return event;
}

std::string PackEventData(v1::BatchEvent& event) {
  event.clear_start_offset_ns();
  event.clear_reporter();
  event.clear_status_code();
  event.clear_method_string();
  event.clear_path_string();
  event.clear_source_endpoint();
  event.clear_destination_endpoint();
  return event.SerializeAsString();
}

}  // namespace podtap::store::sqlite
