// Layout of one store file.
//
// A file holds the events that arrived in one span of time, with everything needed to read them:
// `strings`, `endpoints` and `origins` are the file's own dictionaries. String 0 is the empty
// string and is not stored. A string may be in the dictionary twice; nothing looks an id up by its
// text.
//
// events.data is a serialised v1::BatchEvent whose indexes are dictionary ids and whose fields that
// have a column of their own are cleared, so a new field of the wire format needs no new schema.
#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "collector/store/sqlite/database.h"

namespace podtap::store::sqlite {

// PRAGMA user_version of the files this build writes, and the only one it reads. A file with
// another version is set aside under a new name: it is neither read nor changed.
constexpr int64_t kSchemaVersion = 1;

// Fixed when a file is made.
struct FileHeader {
  // Of the store, the same in all its files.
  uint64_t store_id = 0;
  int64_t created_ns = 0;
  // The first row this file may hold; greater than every row of the files before.
  uint64_t first_row = 1;
};

// Settings of a connection that writes.
absl::Status ConfigureWriter(Database& database);

// Makes tables in an empty file, in one transaction.
absl::Status CreateSchema(Database& database, const FileHeader& header);

// kFailedPrecondition: another schema version. kDataLoss: not a store file.
absl::StatusOr<FileHeader> ReadHeader(const Database& database);

}  // namespace podtap::store::sqlite
