// Reads what a store file holds when the store is opened.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "collector/store/sqlite/marks.h"
#include "collector/store/sqlite/partition_file.h"

namespace podtap::store::sqlite {

// Recovers the file after a crash, reads its header and extent, and merges its marks into the
// committed side of `marks`: the greater number wins. kDataLoss: corrupt. kFailedPrecondition:
// another schema version.
absl::StatusOr<std::shared_ptr<PartitionFile>> LoadFile(const std::string& path, Marks* marks);

// PRAGMA user_version; 0 when it can't be read.
int64_t ReadSchemaVersion(const std::string& path);

}  // namespace podtap::store::sqlite
