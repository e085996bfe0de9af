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

std::string_view RowView::text(uint32_t id) {
  const absl::StatusOr<std::string_view> text = dictionary_.String(id);
  status_.Update(text.status());
  return text.ok() ? *text : std::string_view();
}

std::string_view RowView::node_name() {
  const absl::StatusOr<const Origin*> origin = dictionary_.OriginOf(row_.origin);
  status_.Update(origin.status());
  return origin.ok() ? std::string_view((*origin)->node_name) : std::string_view();
}

const v1::Endpoint& RowView::EndpointOf(int64_t id) {
  const absl::StatusOr<const v1::Endpoint*> endpoint = dictionary_.Endpoint(id);
  status_.Update(endpoint.status());
  return endpoint.ok() ? **endpoint : v1::Endpoint::default_instance();
}

const v1::BatchEvent& RowView::details() {
  if (!is_decoded_) {
    is_decoded_ = true;
    if (!details_.ParseFromArray(row_.data.data(), static_cast<int>(row_.data.size()))) {
      status_.Update(absl::DataLossError("an event's data can't be read"));
    }
  }
  return details_;
}

void RowView::SetTimes(v1::HttpEvent& event) {
  const auto at = [&](uint64_t offset_ns) {
    return row_.start_ns + static_cast<int64_t>(offset_ns);
  };
  SetTime(*event.mutable_start_time(), row_.start_ns);
  SetTime(*event.mutable_request_end_time(), at(details_.request_end_ns()));
  SetTime(*event.mutable_end_time(), at(details_.end_ns()));
  SetDuration(*event.mutable_duration(), details_.end_ns());
  if (details_.has_response()) {
    SetTime(*event.mutable_response_start_time(), at(details_.response_start_ns()));
    SetDuration(*event.mutable_time_to_first_byte(), details_.response_start_ns());
  }
}

// `ids` are names and values in turn.
template <typename Ids>
void RowView::SetHeaders(google::protobuf::RepeatedPtrField<v1::Header>& headers, const Ids& ids) {
  for (int i = 0; i + 1 < ids.size(); i += 2) {
    v1::Header& header = *headers.Add();
    header.set_name(std::string(text(ids[i])));
    header.set_value(std::string(text(ids[i + 1])));
  }
}

void RowView::SetRequest(v1::HttpRequest& request) {
  request.set_method(std::string(method()));
  request.set_path(std::string(path()));
  request.set_query(std::string(text(details_.query_string())));
  request.set_host(std::string(text(details_.host_string())));
  // Agents read plain text only.
  request.set_scheme("http");
  request.set_protocol_version(std::string(text(details_.protocol_version_string())));
  request.set_user_agent(std::string(text(details_.user_agent_string())));
  request.set_content_type(std::string(text(details_.request_content_type_string())));
  SetHeaders(*request.mutable_headers(), details_.request_header_strings());
  request.set_header_size(details_.request_header_size());
  request.set_body_size(details_.request_body_size());
}

void RowView::SetResponse(v1::HttpResponse& response) {
  response.set_status_code(status_code());
  response.set_content_type(std::string(text(details_.response_content_type_string())));
  SetHeaders(*response.mutable_headers(), details_.response_header_strings());
  response.set_header_size(details_.response_header_size());
  response.set_body_size(details_.response_body_size());
  *response.mutable_informational_status_codes() = details_.informational_status_codes();
}

absl::StatusOr<v1::HttpEvent> RowView::Expand() {
  details();
  v1::HttpEvent event;
  PODTAP_ASSIGN_OR_RETURN(const Origin* origin, dictionary_.OriginOf(row_.origin));
  event.set_id(absl::StrFormat("%s/%016x/%d", origin->node_name, origin->epoch, row_.sequence));
  event.set_exchange_key(absl::StrFormat("%016x", details_.exchange_key()));
  event.set_node_name(origin->node_name);
  event.set_cluster_name(origin->cluster_name);
  event.set_reporter(reporter());
  SetTimes(event);

  v1::Capture& capture = *event.mutable_capture();
  capture.set_interface_name(std::string(text(details_.interface_name_string())));
  capture.set_interface_index(details_.interface_index());
  capture.set_mode(details_.capture_mode());
  capture.set_connection_id(details_.connection_id());
  capture.set_exchange_index(details_.exchange_index());

  *event.mutable_source() = source();
  event.mutable_source()->set_port(details_.source_port());
  *event.mutable_destination() = destination();
  event.mutable_destination()->set_port(details_.destination_port());
  SetRequest(*event.mutable_request());
  if (details_.has_response()) {
    SetResponse(*event.mutable_response());
  }
  event.set_trace_id(std::string(text(details_.trace_id_string())));
  event.set_span_id(std::string(text(details_.span_id_string())));
  event.set_upgrade_protocol(std::string(text(details_.upgrade_protocol_string())));
  event.set_is_event_stream(details_.is_event_stream());
  event.set_is_probe(details_.is_probe());
  event.set_outcome(details_.outcome());
  for (int bit = 0; bit < 32; ++bit) {
    if ((details_.flag_bits() >> bit & 1) != 0) {
      event.add_flags(static_cast<v1::ExchangeFlag>(bit));
    }
  }
  event.set_sample_ratio(details_.sample_ratio());
  PODTAP_RETURN_IF_ERROR(status_);
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
