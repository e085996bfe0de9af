#include "tests/fuzz/event_checks.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <string>

#include "collector/store/sqlite/event_codec.h"
#include "common/event_text.h"
#include "common/status.h"
#include "tests/fuzz/text_checks.h"

namespace podtap::fuzz {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

void CheckField(const Message& message, const FieldDescriptor& field) {
  const Reflection& reflection = *message.GetReflection();
  const int count = field.is_repeated() ? reflection.FieldSize(message, &field) : 1;
  for (int i = 0; i < count; ++i) {
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      PODTAP_CHECK(IsSafe(field.is_repeated() ? reflection.GetRepeatedString(message, &field, i)
                                              : reflection.GetString(message, &field)));
    } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      CheckStrings(field.is_repeated() ? reflection.GetRepeatedMessage(message, &field, i)
                                       : reflection.GetMessage(message, &field));
    }
  }
}

void CheckJson(const v1::HttpEvent& event) {
  const std::string json = JsonLine(event);
  PODTAP_CHECK(IsSafe(json));
  v1::HttpEvent read;
  PODTAP_CHECK(google::protobuf::util::JsonStringToMessage(json, &read).ok());
  PODTAP_CHECK(google::protobuf::util::MessageDifferencer::Equals(read, event));
}

void CheckCompact(const v1::HttpEvent& event) {
  const std::string line = CompactLine(event, false);
  PODTAP_CHECK(IsSafe(line));
  // Time, client, arrow, server, method, target, status, duration, size, reporter.
  int columns = 10 + event.flags_size();
  columns += event.outcome() == v1::OUTCOME_COMPLETE ? 0 : 1;
  PODTAP_CHECK(std::count(line.begin(), line.end(), ' ') == columns - 1);
  PODTAP_CHECK(line.find("  ") == std::string::npos);

  // Without the colours it is the same line.
  std::string coloured = CompactLine(event, true);
  size_t begin = 0;
  while ((begin = coloured.find("\x1b[", begin)) != std::string::npos) {
    const size_t end = coloured.find('m', begin);
    PODTAP_CHECK(end != std::string::npos && end - begin <= 4);
    coloured.erase(begin, end + 1 - begin);
  }
  PODTAP_CHECK(coloured == line);
}

// The tables of one batch as a file's dictionaries.
class BatchDictionary : public store::sqlite::Dictionary {
 public:
  explicit BatchDictionary(const v1::EventBatch& batch)
      : batch_(batch), origin_{kNodeName, kClusterName, batch.epoch()} {}

  absl::StatusOr<std::string_view> String(int64_t id) override {
    if (id < 0 || id >= batch_.strings_size()) {
      return absl::DataLossError("no such string");
    }
    return batch_.strings(static_cast<int>(id));
  }
  absl::StatusOr<const v1::Endpoint*> Endpoint(int64_t id) override {
    if (id < 0 || id >= batch_.endpoints_size()) {
      return absl::DataLossError("no such endpoint");
    }
    return &batch_.endpoints(static_cast<int>(id));
  }
  absl::StatusOr<const store::Origin*> OriginOf(int64_t) override { return &origin_; }

 private:
  const v1::EventBatch& batch_;
  const store::Origin origin_;
};

}  // namespace

void CheckStrings(const Message& message) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    CheckField(message, *field);
  }
}

void CheckEvent(const v1::HttpEvent& event) {
  CheckStrings(event);
  CheckJson(event);
  CheckCompact(event);
}

std::vector<v1::HttpEvent> StoreAndExpand(v1::EventBatch batch) {
  BatchDictionary dictionary(batch);
  std::vector<v1::HttpEvent> events;
  for (int i = 0; i < batch.events_size(); ++i) {
    v1::BatchEvent& event = *batch.mutable_events(i);
    store::sqlite::MapStrings(event, [](uint32_t index) { return index; });
    store::sqlite::EventRow row;
    row.start_ns = batch.base_time_unix_ns() + event.start_offset_ns();
    row.reporter = event.reporter();
    row.status = event.status_code();
    row.method = event.method_string();
    row.path = event.path_string();
    row.source = event.source_endpoint();
    row.destination = event.destination_endpoint();
    row.sequence = batch.first_sequence() + static_cast<uint64_t>(i);
    const std::string data = store::sqlite::PackEventData(event);
    row.data = data;
    store::sqlite::RowView view(row, dictionary);
    absl::StatusOr<v1::HttpEvent> expanded = view.Expand();
    PODTAP_CHECK(expanded.ok());
    PODTAP_CHECK(view.status().ok());
    events.push_back(*std::move(expanded));
  }
  return events;
}

}  // namespace podtap::fuzz
