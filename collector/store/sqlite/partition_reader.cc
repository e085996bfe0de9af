#include "collector/store/sqlite/partition_reader.h"

#include "absl/strings/str_format.h"
#include "common/status.h"

namespace podtap::store::sqlite {
namespace {

constexpr size_t kMaxStringBytes = 4 << 20;
// Their labels may be most of them, so what counts is what they take in memory.
constexpr size_t kMaxEndpointBytes = 8 << 20;
constexpr size_t kMaxOrigins = 16'384;

absl::Status Missing(const char* what, int64_t id) {
  return absl::DataLossError(absl::StrFormat("the file has no %s %d", what, id));
}

// Steps `statement` with `id` bound; kDataLoss when there is no row.
absl::Status Find(Statement& statement, int64_t id, const char* what) {
  PODTAP_ASSIGN_OR_RETURN(const bool row, statement.Bind(1, id).Step());
  return row ? absl::OkStatus() : Missing(what, id);
}

}  // namespace

absl::StatusOr<std::unique_ptr<PartitionReader>> PartitionReader::Open(const std::string& path) {
  auto reader = std::unique_ptr<PartitionReader>(new PartitionReader);
  PODTAP_ASSIGN_OR_RETURN(reader->database_, Database::Open(path, Database::Mode::kExisting));
  Database& database = reader->database_;
  PODTAP_RETURN_IF_ERROR(database.Execute("PRAGMA query_only=1; PRAGMA cache_size=-2048"));
  PODTAP_ASSIGN_OR_RETURN(reader->select_string_,
                          database.Prepare("SELECT text FROM strings WHERE id=?"));
  PODTAP_ASSIGN_OR_RETURN(reader->select_endpoint_,
                          database.Prepare("SELECT data FROM endpoints WHERE id=?"));
  PODTAP_ASSIGN_OR_RETURN(reader->select_origin_,
                          database.Prepare("SELECT node, cluster, epoch FROM origins WHERE id=?"));
  return reader;
}

absl::StatusOr<std::string_view> PartitionReader::String(int64_t id) {
  if (id == 0) {
    return std::string_view();
  }
  if (const auto it = strings_.find(id); it != strings_.end()) {
    return std::string_view(*it->second);
  }
  const absl::Status found = Find(select_string_, id, "string");
  auto text = std::make_unique<std::string>(found.ok() ? select_string_.Bytes(0) : "");
  select_string_.Reset();
  PODTAP_RETURN_IF_ERROR(found);
  string_bytes_ += text->size() + sizeof(std::string);
  return std::string_view(*(strings_[id] = std::move(text)));
}

absl::StatusOr<const v1::Endpoint*> PartitionReader::Endpoint(int64_t id) {
  if (const auto it = endpoints_.find(id); it != endpoints_.end()) {
    return it->second.get();
  }
  const absl::Status found = Find(select_endpoint_, id, "endpoint");
  auto endpoint = std::make_unique<v1::Endpoint>();
  bool parsed = false;
  if (found.ok()) {
    const std::string_view data = select_endpoint_.Bytes(0);
    parsed = endpoint->ParseFromArray(data.data(), static_cast<int>(data.size()));
  }
  select_endpoint_.Reset();
  PODTAP_RETURN_IF_ERROR(found);
  if (!parsed) {
    return absl::DataLossError(absl::StrFormat("endpoint %d can't be read", id));
  }
  endpoint_bytes_ += endpoint->SpaceUsedLong();
  return (endpoints_[id] = std::move(endpoint)).get();
}

absl::StatusOr<const Origin*> PartitionReader::OriginOf(int64_t id) {
  if (const auto it = origins_.find(id); it != origins_.end()) {
    return it->second.get();
  }
  const absl::Status found = Find(select_origin_, id, "origin");
  auto origin = std::make_unique<Origin>();
  if (found.ok()) {
    origin->node_name = select_origin_.Bytes(0);
    origin->cluster_name = select_origin_.Bytes(1);
    origin->epoch = static_cast<uint64_t>(select_origin_.Int(2));
  }
  select_origin_.Reset();
  PODTAP_RETURN_IF_ERROR(found);
  return (origins_[id] = std::move(origin)).get();
}

void PartitionReader::TrimCaches() {
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
}

}  // namespace podtap::store::sqlite
