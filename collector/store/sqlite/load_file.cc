#include "collector/store/sqlite/load_file.h"

#include <algorithm>

#include "collector/store/sqlite/database.h"
#include "collector/store/sqlite/schema.h"
#include "common/status.h"

namespace podtap::store::sqlite {
namespace {

template <typename Map, typename Key>
void Merge(Map& map, Key key, const Mark& mark) {
  Mark& known = map[std::move(key)];
  known.value = std::max(known.value, mark.value);
  known.updated_ns = std::max(known.updated_ns, mark.updated_ns);
}

absl::Status LoadMarks(const Database& database, Marks* marks) {
  PODTAP_ASSIGN_OR_RETURN(
      Statement high_water,
      database.Prepare("SELECT node, epoch, sequence, updated_ns FROM high_water"));
  while (true) {
    PODTAP_ASSIGN_OR_RETURN(const bool row, high_water.Step());
    if (!row) {
      break;
    }
    Merge(marks->high_water.mutable_committed(),
          EpochKey{std::string(high_water.Bytes(0)), static_cast<uint64_t>(high_water.Int(1))},
          Mark{static_cast<uint64_t>(high_water.Int(2)), high_water.Int(3)});
  }
  PODTAP_ASSIGN_OR_RETURN(
      Statement losses,
      database.Prepare("SELECT node, epoch, stage, name, count, updated_ns FROM loss_counters"));
  while (true) {
    PODTAP_ASSIGN_OR_RETURN(const bool row, losses.Step());
    if (!row) {
      return absl::OkStatus();
    }
    LossKey key{{std::string(losses.Bytes(0)), static_cast<uint64_t>(losses.Int(1))},
                static_cast<int>(losses.Int(2)),
                std::string(losses.Bytes(3))};
    Merge(marks->loss_counters.mutable_committed(), std::move(key),
          Mark{static_cast<uint64_t>(losses.Int(4)), losses.Int(5)});
  }
}

absl::StatusOr<PartitionExtent> LoadExtent(const Database& database, const FileHeader& header) {
  PartitionExtent extent;
  PODTAP_ASSIGN_OR_RETURN(const int64_t last_row,
                          database.QueryInt("SELECT max(row) FROM events", 0));
  extent.last_row = std::max(static_cast<uint64_t>(last_row), header.first_row - 1);
  PODTAP_ASSIGN_OR_RETURN(
      extent.oldest_start_ns,
      database.QueryInt("SELECT min(start_ns) FROM events", extent.oldest_start_ns));
  PODTAP_ASSIGN_OR_RETURN(
      extent.newest_start_ns,
      database.QueryInt("SELECT max(start_ns) FROM events", extent.newest_start_ns));
  PODTAP_ASSIGN_OR_RETURN(const int64_t last_mark,
                          database.QueryInt("SELECT max(updated_ns) FROM high_water", 0));
  PODTAP_ASSIGN_OR_RETURN(const int64_t last_loss,
                          database.QueryInt("SELECT max(time_ns) FROM losses", 0));
  extent.last_arrival_ns = std::max({header.created_ns, last_mark, last_loss});
  return extent;
}

}  // namespace

absl::StatusOr<std::shared_ptr<PartitionFile>> LoadFile(const std::string& path, Marks* marks) {
  PODTAP_ASSIGN_OR_RETURN(const Database database, Database::Open(path, Database::Mode::kExisting));
  PODTAP_ASSIGN_OR_RETURN(const FileHeader header, ReadHeader(database));
  PODTAP_ASSIGN_OR_RETURN(const PartitionExtent extent, LoadExtent(database, header));
  PODTAP_RETURN_IF_ERROR(LoadMarks(database, marks));
  return std::make_shared<PartitionFile>(path, header, extent);
}

int64_t ReadSchemaVersion(const std::string& path) {
  const absl::StatusOr<Database> database = Database::Open(path, Database::Mode::kExisting);
  return database.ok() ? database->QueryInt("PRAGMA user_version", 0).value_or(0) : 0;
}

}  // namespace podtap::store::sqlite
