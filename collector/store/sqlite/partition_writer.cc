#include "collector/store/sqlite/partition_writer.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>

#include "absl/strings/str_format.h"
#include "common/status.h"

namespace podtap::store::sqlite {
namespace {

constexpr size_t kMaxStringBytes = 32 << 20;
constexpr size_t kMaxEndpointBytes = 16 << 20;
constexpr size_t kMaxOrigins = 65'536;

// The same bytes for the same endpoint: the labels are a map, whose order is else by chance.
std::string Serialize(const v1::Endpoint& endpoint) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream out(&stream);
  out.SetSerializationDeterministic(true);
  endpoint.SerializeToCodedStream(&out);
  out.Trim();
  return bytes;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PartitionWriter>> PartitionWriter::Create(const std::string& path,
                                                                         const FileHeader& header,
                                                                         const Marks& marks) {
  auto writer = std::unique_ptr<PartitionWriter>(new PartitionWriter);
  PODTAP_ASSIGN_OR_RETURN(writer->database_, Database::Open(path, Database::Mode::kCreate));
  PODTAP_RETURN_IF_ERROR(CreateSchema(writer->database_, header));
  PODTAP_RETURN_IF_ERROR(writer->PrepareStatements());
  writer->committed_.last_row = header.first_row - 1;
  writer->committed_.last_arrival_ns = header.created_ns;
  writer->pending_ = writer->committed_;

  Marks copy;
  for (const auto& [key, mark] : marks.high_water.committed()) {
    copy.high_water.Set(key, mark);
  }
  for (const auto& [key, mark] : marks.loss_counters.committed()) {
    copy.loss_counters.Set(key, mark);
  }
  PODTAP_RETURN_IF_ERROR(writer->Begin());
  PODTAP_RETURN_IF_ERROR(writer->PutMarks(copy));
  PODTAP_RETURN_IF_ERROR(writer->Commit(header.created_ns));
  return writer;
}

absl::StatusOr<std::unique_ptr<PartitionWriter>> PartitionWriter::Reopen(
    const PartitionFile& file) {
  auto writer = std::unique_ptr<PartitionWriter>(new PartitionWriter);
  PODTAP_ASSIGN_OR_RETURN(writer->database_,
                          Database::Open(file.path(), Database::Mode::kExisting));
  PODTAP_RETURN_IF_ERROR(ConfigureWriter(writer->database_));
  PODTAP_RETURN_IF_ERROR(writer->PrepareStatements());
  PODTAP_RETURN_IF_ERROR(writer->LoadNextIds());
  writer->committed_ = file.extent();
  writer->pending_ = writer->committed_;
  return writer;
}

PartitionWriter::~PartitionWriter() {
  // So that the file stands alone; readers that hold a snapshot make this a partial success.
  database_.Execute("PRAGMA wal_checkpoint(TRUNCATE)").IgnoreError();
}

absl::Status PartitionWriter::PrepareStatements() {
  PODTAP_ASSIGN_OR_RETURN(insert_string_,
                          database_.Prepare("INSERT INTO strings(id, text) VALUES(?, ?)"));
  PODTAP_ASSIGN_OR_RETURN(insert_endpoint_,
                          database_.Prepare("INSERT INTO endpoints(id, data) VALUES(?, ?)"));
  PODTAP_ASSIGN_OR_RETURN(
      insert_origin_,
      database_.Prepare("INSERT INTO origins(id, node, cluster, epoch) VALUES(?, ?, ?, ?)"));
  const std::string insert_event = absl::StrFormat(
      "INSERT INTO events(%s) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", kEventColumns);
  PODTAP_ASSIGN_OR_RETURN(insert_event_, database_.Prepare(insert_event.c_str()));
  PODTAP_ASSIGN_OR_RETURN(insert_loss_,
                          database_.Prepare("INSERT INTO losses(time_ns, node, stage, name, count) "
                                            "VALUES(?, ?, ?, ?, ?)"));
  PODTAP_ASSIGN_OR_RETURN(
      put_high_water_,
      database_.Prepare("INSERT OR REPLACE INTO high_water(node, epoch, sequence, updated_ns) "
                        "VALUES(?, ?, ?, ?)"));
  PODTAP_ASSIGN_OR_RETURN(
      put_loss_counter_,
      database_.Prepare("INSERT OR REPLACE INTO loss_counters(node, epoch, stage, name, count, "
                        "updated_ns) VALUES(?, ?, ?, ?, ?, ?)"));
  return absl::OkStatus();
}

absl::Status PartitionWriter::LoadNextIds() {
  PODTAP_ASSIGN_OR_RETURN(const int64_t last_string,
                          database_.QueryInt("SELECT max(id) FROM strings", 0));
  PODTAP_ASSIGN_OR_RETURN(const int64_t last_endpoint,
                          database_.QueryInt("SELECT max(id) FROM endpoints", 0));
  PODTAP_ASSIGN_OR_RETURN(const int64_t last_origin,
                          database_.QueryInt("SELECT max(id) FROM origins", 0));
  next_string_ = static_cast<uint32_t>(last_string) + 1;
  next_endpoint_ = last_endpoint + 1;
  next_origin_ = last_origin + 1;
  return absl::OkStatus();
}

void PartitionWriter::ForgetDictionaries() {
  strings_.clear();
  string_bytes_ = 0;
  endpoints_.clear();
  endpoint_bytes_ = 0;
  origins_.clear();
}

absl::Status PartitionWriter::Begin() {
  if (string_bytes_ > kMaxStringBytes) {
    strings_.clear();
    string_bytes_ = 0;
  }
  if (endpoint_bytes_ > kMaxEndpointBytes) {
    endpoints_.clear();
    endpoint_bytes_ = 0;
  }
  if (origins_.size() > kMaxOrigins) {
    origins_.clear();
  }
  return database_.Execute("BEGIN IMMEDIATE");
}

absl::StatusOr<uint32_t> PartitionWriter::StringId(const std::string& text) {
  if (text.empty()) {
    return 0;
  }
  const auto [it, is_new] = strings_.try_emplace(text, next_string_);
  if (is_new) {
    PODTAP_RETURN_IF_ERROR(insert_string_.Bind(1, uint64_t{next_string_}).Bind(2, text).Run());
    string_bytes_ += text.size() + sizeof(std::string);
    ++next_string_;
  }
  return it->second;
}

absl::StatusOr<int64_t> PartitionWriter::EndpointId(const v1::Endpoint& endpoint) {
  const auto [it, is_new] = endpoints_.try_emplace(Serialize(endpoint), next_endpoint_);
  if (is_new) {
    PODTAP_RETURN_IF_ERROR(insert_endpoint_.Bind(1, next_endpoint_).BindBlob(2, it->first).Run());
    endpoint_bytes_ += it->first.size() + sizeof(std::string);
    ++next_endpoint_;
  }
  return it->second;
}

absl::StatusOr<int64_t> PartitionWriter::OriginId(const Origin& origin) {
  // The length keeps the two names apart.
  const std::string key = absl::StrFormat("%d %d %s %s", origin.epoch, origin.node_name.size(),
                                          origin.node_name, origin.cluster_name);
  const auto [it, is_new] = origins_.try_emplace(key, next_origin_);
  if (is_new) {
    PODTAP_RETURN_IF_ERROR(insert_origin_.Bind(1, next_origin_)
                               .Bind(2, origin.node_name)
                               .Bind(3, origin.cluster_name)
                               .Bind(4, origin.epoch)
                               .Run());
    ++next_origin_;
  }
  return it->second;
}

absl::Status PartitionWriter::AddEvents(const Origin& origin, v1::EventBatch& batch, int first) {
  PODTAP_ASSIGN_OR_RETURN(const int64_t origin_id, OriginId(origin));
  string_ids_.clear();
  for (const std::string& text : batch.strings()) {
    PODTAP_ASSIGN_OR_RETURN(const uint32_t id, StringId(text));
    string_ids_.push_back(id);
  }
  endpoint_ids_.clear();
  for (const v1::Endpoint& endpoint : batch.endpoints()) {
    PODTAP_ASSIGN_OR_RETURN(const int64_t id, EndpointId(endpoint));
    endpoint_ids_.push_back(id);
  }
  for (int i = first; i < batch.events_size(); ++i) {
    PODTAP_RETURN_IF_ERROR(AddEvent(origin_id, batch.first_sequence() + static_cast<uint64_t>(i),
                                    batch.base_time_unix_ns(), *batch.mutable_events(i)));
  }
  return absl::OkStatus();
}

absl::Status PartitionWriter::AddEvent(int64_t origin, uint64_t sequence, int64_t base_ns,
                                       v1::BatchEvent& event) {
  MapStrings(event, [this](uint32_t index) { return string_ids_[index]; });
  const uint64_t row = pending_.last_row + 1;
  const int64_t start_ns = base_ns + event.start_offset_ns();
  const int64_t status = event.has_response() ? event.status_code() : 0;
  const int64_t source = endpoint_ids_[event.source_endpoint()];
  const int64_t destination = endpoint_ids_[event.destination_endpoint()];
  const uint64_t method = event.method_string();
  const uint64_t path = event.path_string();
  const int reporter = event.reporter();
  const std::string data = PackEventData(event);
  PODTAP_RETURN_IF_ERROR(insert_event_.Bind(1, row)
                             .Bind(2, start_ns)
                             .Bind(3, reporter)
                             .Bind(4, status)
                             .Bind(5, method)
                             .Bind(6, path)
                             .Bind(7, source)
                             .Bind(8, destination)
                             .Bind(9, origin)
                             .Bind(10, sequence)
                             .BindBlob(11, data)
                             .Run());
  pending_.oldest_start_ns = std::min(pending_.oldest_start_ns, start_ns);
  pending_.newest_start_ns = std::max(pending_.newest_start_ns, start_ns);
  pending_.last_row = row;
  return absl::OkStatus();
}

absl::Status PartitionWriter::AddLoss(int64_t time_ns, const std::string& node_name, int stage,
                                      const std::string& name, uint64_t count) {
  return insert_loss_.Bind(1, time_ns)
      .Bind(2, node_name)
      .Bind(3, stage)
      .Bind(4, name)
      .Bind(5, count)
      .Run();
}

absl::Status PartitionWriter::PutMarks(const Marks& marks) {
  for (const auto& [key, mark] : marks.high_water.overlay()) {
    PODTAP_RETURN_IF_ERROR(put_high_water_.Bind(1, key.node_name)
                               .Bind(2, key.epoch)
                               .Bind(3, mark.value)
                               .Bind(4, mark.updated_ns)
                               .Run());
  }
  for (const auto& [key, mark] : marks.loss_counters.overlay()) {
    PODTAP_RETURN_IF_ERROR(put_loss_counter_.Bind(1, key.epoch.node_name)
                               .Bind(2, key.epoch.epoch)
                               .Bind(3, key.stage)
                               .Bind(4, key.name)
                               .Bind(5, mark.value)
                               .Bind(6, mark.updated_ns)
                               .Run());
  }
  return absl::OkStatus();
}

absl::Status PartitionWriter::Commit(int64_t now_ns) {
  PODTAP_RETURN_IF_ERROR(database_.Execute("COMMIT"));
  pending_.last_arrival_ns = now_ns;
  committed_ = pending_;
  return absl::OkStatus();
}

void PartitionWriter::Rollback() {
  // Fails when SQLite has rolled back by itself, which is as good.
  database_.Execute("ROLLBACK").IgnoreError();
  pending_ = committed_;
  // Entries of the rolled-back transaction are not in the file; their ids are never used again.
  ForgetDictionaries();
}

absl::Status PartitionWriter::Probe() {
  PODTAP_RETURN_IF_ERROR(
      database_.Execute("INSERT OR REPLACE INTO meta(name, value) "
                        "VALUES('probe', zeroblob(1048576))"));
  return database_.Execute("DELETE FROM meta WHERE name='probe'");
}

}  // namespace podtap::store::sqlite
