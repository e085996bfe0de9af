#include "collector/ingest/batch_decoder.h"

#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <initializer_list>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "collector/store/event_store.h"
#include "common/ip_address.h"
#include "common/status.h"
#include "common/text.h"

namespace podtap::ingest {
namespace {

constexpr uint64_t kMaxPort = 65535;
constexpr size_t kMaxNameBytes = 1024;
// An enum value above this is nonsense; one below may be a newer agent's and is kept.
constexpr int kMaxEnumValue = 63;
constexpr uint32_t kMaxStatusCode = 999;
// About 100 years on either side: sums of two stay inside 64 bits.
constexpr int64_t kMaxTimeNs = int64_t{1} << 62;
constexpr uint64_t kMaxOffsetNs = uint64_t{1} << 61;

template <typename... Args>
absl::Status Bad(const absl::FormatSpec<Args...>& format, const Args&... args) {
  return absl::InvalidArgumentError(absl::StrFormat(format, args...));
}

absl::Status CheckRange(uint64_t epoch, const SequenceRange& range) {
  if (epoch == 0) {
    return Bad("epoch is 0");
  }
  if (range.first == 0 || range.last < range.first || range.last > store::kMaxSequence) {
    return Bad("sequences %d to %d are no range", range.first, range.last);
  }
  return absl::OkStatus();
}

absl::Status PrepareStrings(v1::EventBatch& batch) {
  if (batch.strings_size() == 0 || !batch.strings(0).empty()) {
    return Bad("strings[0] is not the empty string");
  }
  if (batch.strings_size() > kMaxBatchStrings) {
    return Bad("%d strings", batch.strings_size());
  }
  for (std::string& text : *batch.mutable_strings()) {
    if (text.size() > kMaxStringBytes) {
      return Bad("a string of %d bytes", text.size());
    }
    // Changes nothing of what an agent of this version sends.
    text = SafeText(text, kMaxStringBytes);
  }
  return absl::OkStatus();
}

// For messages without messages inside; DiscardUnknownFields() costs much more.
void ClearUnknownFields(google::protobuf::Message& message) {
  const google::protobuf::Reflection& reflection = *message.GetReflection();
  if (!reflection.GetUnknownFields(message).empty()) {
    reflection.MutableUnknownFields(&message)->Clear();
  }
}

bool IsEnumValue(int value) { return value > 0 && value <= kMaxEnumValue; }

absl::Status PrepareLabels(google::protobuf::Map<std::string, std::string>& labels) {
  size_t bytes = 0;
  bool safe_names = true;
  for (auto& [name, value] : labels) {
    bytes += name.size() + value.size();
    if (labels.size() > kMaxLabels || bytes > kMaxLabelTextBytes) {
      return Bad("%d labels of an endpoint, more than %d bytes", labels.size(), bytes);
    }
    value = SafeText(value);
    safe_names &= SafeText(name) == name;
  }
  if (!safe_names) {
    const google::protobuf::Map<std::string, std::string> unsafe = labels;
    labels.clear();
    for (const auto& [name, value] : unsafe) {
      labels[SafeText(name)] = value;
    }
  }
  return absl::OkStatus();
}

absl::Status PrepareEndpoint(v1::Endpoint& endpoint) {
  const std::optional<IpAddress> ip = IpAddress::Parse(endpoint.ip());
  if (!ip) {
    return Bad("an endpoint's ip is no address");
  }
  if (!IsEnumValue(endpoint.kind()) || !IsEnumValue(endpoint.metadata_state())) {
    return Bad("an endpoint's kind is %d and its metadata_state %d",
               static_cast<int>(endpoint.kind()), static_cast<int>(endpoint.metadata_state()));
  }
  endpoint.set_ip(ip->ToString());
  endpoint.clear_port();
  std::vector<std::string*> names = {
      endpoint.mutable_namespace_(),     endpoint.mutable_pod_name(),
      endpoint.mutable_node_name(),      endpoint.mutable_pod_uid(),
      endpoint.mutable_container_name(), endpoint.mutable_container_image(),
      endpoint.mutable_service_name()};
  if (endpoint.has_workload()) {
    names.push_back(endpoint.mutable_workload()->mutable_kind());
    names.push_back(endpoint.mutable_workload()->mutable_name());
    ClearUnknownFields(*endpoint.mutable_workload());
  }
  for (std::string* name : names) {
    if (name->size() > kMaxNameBytes) {
      return Bad("an endpoint's name of %d bytes", name->size());
    }
    *name = SafeText(*name, kMaxNameBytes);
  }
  PODTAP_RETURN_IF_ERROR(PrepareLabels(*endpoint.mutable_labels()));
  ClearUnknownFields(endpoint);
  return absl::OkStatus();
}

// Checks the events of one batch against its tables.
class EventChecker {
 public:
  explicit EventChecker(const v1::EventBatch& batch) : batch_(batch) {}

  absl::Status Check(v1::BatchEvent& event) {
    text_bytes_ = 0;
    PODTAP_RETURN_IF_ERROR(CheckCapture(event));
    PODTAP_RETURN_IF_ERROR(CheckTimes(event));
    PODTAP_RETURN_IF_ERROR(CheckEnds(event));
    PODTAP_RETURN_IF_ERROR(CheckStrings(event));
    PODTAP_RETURN_IF_ERROR(CheckOutcome(event));
    if (event.has_response()) {
      PODTAP_RETURN_IF_ERROR(CheckResponse(event));
    } else {
      ClearResponse(event);
    }
    if (text_bytes_ > kMaxEventTextBytes) {
      return Bad("an event's strings are %d bytes", text_bytes_);
    }
    ClearUnknownFields(event);
    return absl::OkStatus();
  }

 private:
  absl::Status CheckCapture(const v1::BatchEvent& event) {
    if (event.reporter() != v1::REPORTER_CLIENT && event.reporter() != v1::REPORTER_SERVER) {
      return Bad("reporter is %d", static_cast<int>(event.reporter()));
    }
    if (!IsEnumValue(event.capture_mode())) {
      return Bad("capture_mode is %d", static_cast<int>(event.capture_mode()));
    }
    return absl::OkStatus();
  }

  absl::Status CheckTimes(const v1::BatchEvent& event) {
    const int64_t base_ns = batch_.base_time_unix_ns();
    const int64_t offset_ns = event.start_offset_ns();
    if (base_ns < 0 || base_ns > kMaxTimeNs || offset_ns < -kMaxTimeNs || offset_ns > kMaxTimeNs ||
        base_ns + offset_ns < 0 || base_ns + offset_ns > kMaxTimeNs) {
      return Bad("start time %d%+d ns is out of range", base_ns, offset_ns);
    }
    for (const uint64_t offset :
         {event.request_end_ns(), event.response_start_ns(), event.end_ns()}) {
      if (offset > kMaxOffsetNs) {
        return Bad("a time %d ns after the start is out of range", offset);
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckEnds(const v1::BatchEvent& event) {
    const auto endpoints = static_cast<uint32_t>(batch_.endpoints_size());
    if (event.source_endpoint() >= endpoints || event.destination_endpoint() >= endpoints) {
      return Bad("endpoint %d or %d of %d", event.source_endpoint(), event.destination_endpoint(),
                 endpoints);
    }
    if (event.source_port() > kMaxPort || event.destination_port() > kMaxPort) {
      return Bad("port %d or %d", event.source_port(), event.destination_port());
    }
    return absl::OkStatus();
  }

  absl::Status CheckString(uint32_t index) {
    if (index >= static_cast<uint32_t>(batch_.strings_size())) {
      return Bad("string %d of %d", index, batch_.strings_size());
    }
    text_bytes_ += batch_.strings(static_cast<int>(index)).size();
    return absl::OkStatus();
  }

  absl::Status CheckStrings(const v1::BatchEvent& event) {
    for (const uint32_t index :
         {event.interface_name_string(), event.method_string(), event.path_string(),
          event.query_string(), event.host_string(), event.protocol_version_string(),
          event.user_agent_string(), event.request_content_type_string(),
          event.response_content_type_string(), event.trace_id_string(), event.span_id_string(),
          event.upgrade_protocol_string()}) {
      PODTAP_RETURN_IF_ERROR(CheckString(index));
    }
    PODTAP_RETURN_IF_ERROR(CheckHeaders(event.request_header_strings()));
    return CheckHeaders(event.response_header_strings());
  }

  absl::Status CheckHeaders(const google::protobuf::RepeatedField<uint32_t>& indexes) {
    if (indexes.size() % 2 != 0 || indexes.size() > 2 * kMaxHeaders) {
      return Bad("%d header strings", indexes.size());
    }
    for (const uint32_t index : indexes) {
      PODTAP_RETURN_IF_ERROR(CheckString(index));
    }
    return absl::OkStatus();
  }

  absl::Status CheckOutcome(const v1::BatchEvent& event) {
    if (!IsEnumValue(event.outcome())) {
      return Bad("outcome is %d", static_cast<int>(event.outcome()));
    }
    if ((event.flag_bits() & 1) != 0) {
      return Bad("flag_bits has bit 0");
    }
    // Written so that it refuses a NaN.
    if (!(event.sample_ratio() > 0 && event.sample_ratio() <= 1)) {
      return Bad("sample_ratio is not in (0,1]");
    }
    return absl::OkStatus();
  }

  absl::Status CheckResponse(const v1::BatchEvent& event) {
    if (event.status_code() > kMaxStatusCode) {
      return Bad("status_code is %d", event.status_code());
    }
    if (event.informational_status_codes_size() > kMaxInformationalCodes) {
      return Bad("%d informational status codes", event.informational_status_codes_size());
    }
    for (const uint32_t code : event.informational_status_codes()) {
      if (code > kMaxStatusCode) {
        return Bad("informational status code %d", code);
      }
    }
    return absl::OkStatus();
  }

  static void ClearResponse(v1::BatchEvent& event) {
    event.clear_response_start_ns();
    event.clear_status_code();
    event.clear_response_content_type_string();
    event.clear_response_header_strings();
    event.clear_response_header_size();
    event.clear_response_body_size();
    event.clear_informational_status_codes();
  }

  const v1::EventBatch& batch_;
  size_t text_bytes_ = 0;
};

}  // namespace

absl::StatusOr<SequenceRange> RangeOf(const v1::EventBatch& batch) {
  if (batch.events_size() == 0) {
    return Bad("a batch without events");
  }
  const uint64_t more = static_cast<uint64_t>(batch.events_size()) - 1;
  if (batch.first_sequence() > store::kMaxSequence) {
    return Bad("sequence %d is too great", batch.first_sequence());
  }
  const SequenceRange range{batch.first_sequence(), batch.first_sequence() + more};
  PODTAP_RETURN_IF_ERROR(CheckRange(batch.epoch(), range));
  return range;
}

absl::StatusOr<SequenceRange> RangeOf(const v1::DroppedRange& dropped) {
  const SequenceRange range{dropped.first_sequence(), dropped.last_sequence()};
  PODTAP_RETURN_IF_ERROR(CheckRange(dropped.epoch(), range));
  return range;
}

absl::Status PrepareBatch(v1::EventBatch& batch) {
  if (batch.events_size() > kMaxBatchEvents) {
    return Bad("%d events", batch.events_size());
  }
  if (batch.endpoints_size() > kMaxBatchEndpoints) {
    return Bad("%d endpoints", batch.endpoints_size());
  }
  PODTAP_RETURN_IF_ERROR(PrepareStrings(batch));
  for (v1::Endpoint& endpoint : *batch.mutable_endpoints()) {
    PODTAP_RETURN_IF_ERROR(PrepareEndpoint(endpoint));
  }
  EventChecker checker(batch);
  for (v1::BatchEvent& event : *batch.mutable_events()) {
    PODTAP_RETURN_IF_ERROR(checker.Check(event));
  }
  return absl::OkStatus();
}

}  // namespace podtap::ingest
