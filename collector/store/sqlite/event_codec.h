// Between v1::BatchEvent, a row of the `events` table and v1::HttpEvent.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "collector/store/event_store.h"
#include "collector/store/sqlite/database.h"
#include "podtap/v1/event.pb.h"
#include "podtap/v1/ingest_service.pb.h"

namespace podtap::store::sqlite {

// Columns of a row, in the order of kEventColumns. `data` is borrowed.
struct EventRow {
  uint64_t row = 0;
  int64_t start_ns = 0;
  int64_t reporter = 0;
  int64_t status = 0;
  int64_t method = 0;
  int64_t path = 0;
  int64_t source = 0;
  int64_t destination = 0;
  int64_t origin = 0;
  uint64_t sequence = 0;
  std::string_view data;
};

constexpr const char* kEventColumns =
    "row, start_ns, reporter, status, method, path, source, destination, origin, sequence, data";

// Reads the columns of the current row.
EventRow ReadEventRow(const Statement& statement);

// A file's dictionaries. Views and pointers stay valid until the next call that says otherwise.
// kDataLoss: the file has no such id.
class Dictionary {
 public:
  virtual ~Dictionary() = default;
  virtual absl::StatusOr<std::string_view> String(int64_t id) = 0;
  virtual absl::StatusOr<const v1::Endpoint*> Endpoint(int64_t id) = 0;
  virtual absl::StatusOr<const Origin*> OriginOf(int64_t id) = 0;
};

// A row as filters look at it. `row` and `dictionary` outlive the view.
class RowView : public EventView {
 public:
  RowView(const EventRow& row, Dictionary& dictionary) : row_(row), dictionary_(dictionary) {}

  v1::Reporter reporter() override { return static_cast<v1::Reporter>(row_.reporter); }
  uint32_t status_code() override { return static_cast<uint32_t>(row_.status); }
  std::string_view method() override { return text(static_cast<uint32_t>(row_.method)); }
  std::string_view path() override { return text(static_cast<uint32_t>(row_.path)); }
  std::string_view node_name() override;
  const v1::Endpoint& source() override { return EndpointOf(row_.source); }
  const v1::Endpoint& destination() override { return EndpointOf(row_.destination); }
  const v1::BatchEvent& details() override;
  std::string_view text(uint32_t id) override;

  // The first failure of all calls so far.
  const absl::Status& status() const { return status_; }

  // The whole event.
  absl::StatusOr<v1::HttpEvent> Expand();

 private:
  const v1::Endpoint& EndpointOf(int64_t id);
  void SetTimes(v1::HttpEvent& event);
  void SetRequest(v1::HttpRequest& request);
  void SetResponse(v1::HttpResponse& response);
  template <typename Ids>
  void SetHeaders(google::protobuf::RepeatedPtrField<v1::Header>& headers, const Ids& ids);

  const EventRow& row_;
  Dictionary& dictionary_;
  bool is_decoded_ = false;
  v1::BatchEvent details_;
  absl::Status status_;
};

// events.data of `event`, whose string indexes are dictionary ids already. Changes `event`.
std::string PackEventData(v1::BatchEvent& event);

// Calls `map(index)` for every string index of `event` and stores what it returns.
template <typename Map>
void MapStrings(v1::BatchEvent& event, Map map) {
  event.set_interface_name_string(map(event.interface_name_string()));
  event.set_method_string(map(event.method_string()));
  event.set_path_string(map(event.path_string()));
  event.set_query_string(map(event.query_string()));
  event.set_host_string(map(event.host_string()));
  event.set_protocol_version_string(map(event.protocol_version_string()));
  event.set_user_agent_string(map(event.user_agent_string()));
  event.set_request_content_type_string(map(event.request_content_type_string()));
  for (uint32_t& index : *event.mutable_request_header_strings()) {
    index = map(index);
  }
  event.set_response_content_type_string(map(event.response_content_type_string()));
  for (uint32_t& index : *event.mutable_response_header_strings()) {
    index = map(index);
  }
  event.set_trace_id_string(map(event.trace_id_string()));
  event.set_span_id_string(map(event.span_id_string()));
  event.set_upgrade_protocol_string(map(event.upgrade_protocol_string()));
}

}  // namespace podtap::store::sqlite
