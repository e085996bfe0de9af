// The files of a store directory: finding them at start, keeping their list, retention.
//
// Names: events-YYYYMMDDHH.db for the hour (UTC) in which the file was begun,
// events-YYYYMMDDHH-N.db when one was begun in that hour before. A file that can't be read is
// renamed to NAME.corrupt, one of another schema version to NAME.schema-N; both wait there for a
// person, count against the byte bound, and are the first to go when it is hit.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "collector/store/sqlite/marks.h"
#include "collector/store/sqlite/partition_file.h"
#include "common/unique_fd.h"

namespace podtap::store::sqlite {

using PartitionFiles = std::vector<std::shared_ptr<PartitionFile>>;

// Thread-safe, but only the writer's thread adds and removes.
class Catalog {
 public:
  // Makes the directory if need be, locks it against a second process, and reads what every file
  // holds. Marks are taken from all files into `marks` (committed). Errors say what can't be used.
  static absl::StatusOr<std::unique_ptr<Catalog>> Open(const std::string& directory, Marks* marks);

  // Whether Open() had to set a file aside: rows after those of the other files may be gone.
  bool set_aside_at_open() const { return set_aside_at_open_; }

  // In the order of their rows.
  PartitionFiles Files() const;
  void Add(std::shared_ptr<PartitionFile> file);

  // Path for a new file begun now. Never gives a path twice.
  std::string NewPath(int64_t now_ns);

  // Takes a file that can't be read out of the list and renames it. Logs it.
  void SetAside(const std::shared_ptr<PartitionFile>& file, const absl::Status& reason);
  void Remove(const std::shared_ptr<PartitionFile>& file);

  // Removes what is older than `retention_ns`, then the oldest until all files together take at
  // most `retention_bytes`. The newest file always stays. Returns the number of events removed.
  uint64_t Expire(int64_t now_ns, int64_t retention_ns, uint64_t retention_bytes);

  // Of everything in the list.
  uint64_t DiskBytes() const;

 private:
  explicit Catalog(std::string directory) : directory_(std::move(directory)) {}
  absl::Status Prepare();
  absl::Status LoadFiles(Marks* marks);
  absl::Status SetBadLogAside(const std::string& path);
  void Erase(const PartitionFile* file);
  // The same for files set aside, which may take `bytes_left`. Returns the bytes that stay.
  uint64_t ExpireSetAside(int64_t now_ns, int64_t retention_ns, uint64_t bytes_left);

  const std::string directory_;
  UniqueFd lock_;
  bool set_aside_at_open_ = false;
  mutable std::mutex mutex_;
  PartitionFiles files_;
  // Stem and last number given by NewPath().
  std::string last_stem_;
  int last_number_ = 0;
};

}  // namespace podtap::store::sqlite
