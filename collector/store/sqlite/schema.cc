#include "collector/store/sqlite/schema.h"

#include <string>

#include "absl/strings/str_format.h"
#include "common/status.h"

namespace podtap::store::sqlite {
namespace {

constexpr const char* kTables = R"(
CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE strings(id INTEGER PRIMARY KEY, text TEXT NOT NULL);
CREATE TABLE endpoints(id INTEGER PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE origins(
  id INTEGER PRIMARY KEY, node TEXT NOT NULL, cluster TEXT NOT NULL, epoch INTEGER NOT NULL);
CREATE TABLE events(
  row INTEGER PRIMARY KEY,
  start_ns INTEGER NOT NULL,
  reporter INTEGER NOT NULL,
  status INTEGER NOT NULL,
  method INTEGER NOT NULL,
  path INTEGER NOT NULL,
  source INTEGER NOT NULL,
  destination INTEGER NOT NULL,
  origin INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  data BLOB NOT NULL);
CREATE INDEX events_start ON events(start_ns);
CREATE TABLE high_water(
  node TEXT NOT NULL, epoch INTEGER NOT NULL, sequence INTEGER NOT NULL,
  updated_ns INTEGER NOT NULL, PRIMARY KEY(node, epoch)) WITHOUT ROWID;
CREATE TABLE loss_counters(
  node TEXT NOT NULL, epoch INTEGER NOT NULL, stage INTEGER NOT NULL, name TEXT NOT NULL,
  count INTEGER NOT NULL, updated_ns INTEGER NOT NULL,
  PRIMARY KEY(node, epoch, stage, name)) WITHOUT ROWID;
CREATE TABLE losses(
  time_ns INTEGER NOT NULL, node TEXT NOT NULL, stage INTEGER NOT NULL, name TEXT NOT NULL,
  count INTEGER NOT NULL);
)";

}  // namespace

absl::Status ConfigureWriter(Database& database) {
  // synchronous=FULL: in WAL mode NORMAL does not sync on commit, and what is acknowledged must
  // survive a power cut.
  return database.Execute(
      "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA temp_store=MEMORY;"
      "PRAGMA cache_size=-16384; PRAGMA journal_size_limit=16777216;");
}

absl::Status CreateSchema(Database& database, const FileHeader& header) {
  // The page size must be set before the first table is made.
  PODTAP_RETURN_IF_ERROR(database.Execute("PRAGMA page_size=8192"));
  PODTAP_RETURN_IF_ERROR(ConfigureWriter(database));
  PODTAP_RETURN_IF_ERROR(database.Execute("BEGIN IMMEDIATE"));
  PODTAP_RETURN_IF_ERROR(database.Execute(kTables));
  PODTAP_ASSIGN_OR_RETURN(Statement insert,
                          database.Prepare("INSERT INTO meta(name, value) VALUES(?, ?)"));
  PODTAP_RETURN_IF_ERROR(insert.Bind(1, "store_id").Bind(2, header.store_id).Run());
  PODTAP_RETURN_IF_ERROR(insert.Bind(1, "created_ns").Bind(2, header.created_ns).Run());
  PODTAP_RETURN_IF_ERROR(insert.Bind(1, "first_row").Bind(2, header.first_row).Run());
  const std::string version = absl::StrFormat("PRAGMA user_version=%d", kSchemaVersion);
  PODTAP_RETURN_IF_ERROR(database.Execute(version.c_str()));
  return database.Execute("COMMIT");
}

absl::StatusOr<FileHeader> ReadHeader(const Database& database) {
  PODTAP_ASSIGN_OR_RETURN(const int64_t version, database.QueryInt("PRAGMA user_version", 0));
  if (version != kSchemaVersion) {
    // A file that was cut short while it was made has version 0 and is of no use either.
    return absl::FailedPreconditionError(absl::StrFormat("schema version %d", version));
  }
  FileHeader header;
  PODTAP_ASSIGN_OR_RETURN(const int64_t store_id,
                          database.QueryInt("SELECT value FROM meta WHERE name='store_id'", 0));
  PODTAP_ASSIGN_OR_RETURN(header.created_ns,
                          database.QueryInt("SELECT value FROM meta WHERE name='created_ns'", 0));
  PODTAP_ASSIGN_OR_RETURN(const int64_t first_row,
                          database.QueryInt("SELECT value FROM meta WHERE name='first_row'", 0));
  if (first_row < 1) {
    return absl::DataLossError("the file has no first row number");
  }
  header.store_id = static_cast<uint64_t>(store_id);
  header.first_row = static_cast<uint64_t>(first_row);
  return header;
}

}  // namespace podtap::store::sqlite
