#include "tests/unit/exporter/batch_expander.h"

#include <gtest/gtest.h>

#include "absl/strings/str_format.h"
#include "google/protobuf/util/time_util.h"

namespace podtap::exporter {
namespace {

using google::protobuf::util::TimeUtil;

class Expander {
 public:
  explicit Expander(const v1::EventBatch& batch) : batch_(batch) {}

  v1::HttpEvent Expand(const v1::BatchEvent& in) const {
    v1::HttpEvent out;
    out.set_exchange_key(absl::StrFormat("%016x", in.exchange_key()));
    out.set_reporter(in.reporter());
    out.mutable_capture()->set_interface_name(String(in.interface_name_string()));
    out.mutable_capture()->set_interface_index(in.interface_index());
    out.mutable_capture()->set_mode(in.capture_mode());
    out.mutable_capture()->set_connection_id(in.connection_id());
    out.mutable_capture()->set_exchange_index(in.exchange_index());
    *out.mutable_source() = End(in.source_endpoint(), in.source_port());
    *out.mutable_destination() = End(in.destination_endpoint(), in.destination_port());
    Times(in, out);
    Request(in, *out.mutable_request());
    if (in.has_response()) {
      Response(in, *out.mutable_response());
    }
    out.set_trace_id(String(in.trace_id_string()));
    out.set_span_id(String(in.span_id_string()));
    out.set_upgrade_protocol(String(in.upgrade_protocol_string()));
    out.set_is_event_stream(in.is_event_stream());
    out.set_is_probe(in.is_probe());
    out.set_outcome(in.outcome());
    for (int number = 0; number < 32; ++number) {
      if ((in.flag_bits() >> number & 1) != 0) {
        out.add_flags(static_cast<v1::ExchangeFlag>(number));
      }
    }
    out.set_sample_ratio(in.sample_ratio());
    return out;
  }

 private:
  std::string String(uint32_t index) const {
    EXPECT_LT(static_cast<int>(index), batch_.strings_size());
    return static_cast<int>(index) < batch_.strings_size() ? batch_.strings(index) : "?";
  }

  v1::Endpoint End(uint32_t index, uint32_t port) const {
    EXPECT_LT(static_cast<int>(index), batch_.endpoints_size());
    v1::Endpoint out = static_cast<int>(index) < batch_.endpoints_size() ? batch_.endpoints(index)
                                                                         : v1::Endpoint();
    out.set_port(port);
    return out;
  }

  void Times(const v1::BatchEvent& in, v1::HttpEvent& out) const {
    const int64_t start_ns = batch_.base_time_unix_ns() + in.start_offset_ns();
    const auto at = [&](uint64_t offset) {
      return TimeUtil::NanosecondsToTimestamp(start_ns + static_cast<int64_t>(offset));
    };
    const auto after = [](uint64_t offset) {
      return TimeUtil::NanosecondsToDuration(static_cast<int64_t>(offset));
    };
    *out.mutable_start_time() = at(0);
    *out.mutable_request_end_time() = at(in.request_end_ns());
    *out.mutable_end_time() = at(in.end_ns());
    *out.mutable_duration() = after(in.end_ns());
    if (in.has_response()) {
      *out.mutable_response_start_time() = at(in.response_start_ns());
      *out.mutable_time_to_first_byte() = after(in.response_start_ns());
    }
  }

  template <typename Indexes, typename Headers>
  void Fields(const Indexes& indexes, Headers* out) const {
    EXPECT_EQ(indexes.size() % 2, 0);
    for (int i = 0; i + 1 < indexes.size(); i += 2) {
      v1::Header* header = out->Add();
      header->set_name(String(indexes[i]));
      header->set_value(String(indexes[i + 1]));
    }
  }

  void Request(const v1::BatchEvent& in, v1::HttpRequest& out) const {
    out.set_method(String(in.method_string()));
    out.set_path(String(in.path_string()));
    out.set_query(String(in.query_string()));
    out.set_host(String(in.host_string()));
    out.set_scheme("http");
    out.set_protocol_version(String(in.protocol_version_string()));
    out.set_user_agent(String(in.user_agent_string()));
    out.set_content_type(String(in.request_content_type_string()));
    Fields(in.request_header_strings(), out.mutable_headers());
    out.set_header_size(in.request_header_size());
    out.set_body_size(in.request_body_size());
  }

  void Response(const v1::BatchEvent& in, v1::HttpResponse& out) const {
    out.set_status_code(in.status_code());
    out.set_content_type(String(in.response_content_type_string()));
    Fields(in.response_header_strings(), out.mutable_headers());
    out.set_header_size(in.response_header_size());
    out.set_body_size(in.response_body_size());
    *out.mutable_informational_status_codes() = in.informational_status_codes();
  }

  const v1::EventBatch& batch_;
};

}  // namespace

std::vector<v1::HttpEvent> ExpandBatch(const v1::EventBatch& batch, const std::string& node_name,
                                       const std::string& cluster_name) {
  std::vector<v1::HttpEvent> events;
  uint64_t sequence = batch.first_sequence();
  for (const v1::BatchEvent& event : batch.events()) {
    v1::HttpEvent out = Expander(batch).Expand(event);
    out.set_id(absl::StrFormat("%s/%016x/%d", node_name, batch.epoch(), sequence++));
    out.set_node_name(node_name);
    out.set_cluster_name(cluster_name);
    events.push_back(std::move(out));
  }
  return events;
}

}  // namespace podtap::exporter
