// One store file as the rest of the store sees it: what it holds, who reads it, how it goes away.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "collector/store/sqlite/partition_reader.h"
#include "collector/store/sqlite/schema.h"

namespace podtap::store::sqlite {

// What of a file is committed.
struct PartitionExtent {
  // first_row - 1 while there is no event.
  uint64_t last_row = 0;
  // Of the events.
  int64_t oldest_start_ns = std::numeric_limits<int64_t>::max();
  int64_t newest_start_ns = std::numeric_limits<int64_t>::min();
  // When something was last written.
  int64_t last_arrival_ns = 0;
};

// Thread-safe. Shared by the catalog and the scans that are reading the file; a scan may outlive
// the file's name.
class PartitionFile {
 public:
  PartitionFile(std::string path, const FileHeader& header, const PartitionExtent& extent)
      : path_(std::move(path)), header_(header), extent_(extent) {}

  const std::string& path() const { return path_; }
  const FileHeader& header() const { return header_; }
  PartitionExtent extent() const;
  void Publish(const PartitionExtent& extent);
  uint64_t events() const { return extent().last_row + 1 - header_.first_row; }

  // With the write-ahead log.
  uint64_t DiskBytes() const;

  // A reader for one thread; give it back with Release() unless it failed. kNotFound: removed.
  absl::StatusOr<std::unique_ptr<PartitionReader>> Acquire();
  void Release(std::unique_ptr<PartitionReader> reader);

  // Deletes the file. Readers that have it open go on.
  absl::Status Remove();
  // Renames the file to path + suffix, so that it is looked at no more.
  absl::Status SetAside(const std::string& suffix);

 private:
  const std::string path_;
  const FileHeader header_;
  mutable std::mutex mutex_;
  PartitionExtent extent_;
  bool removed_ = false;
  std::vector<std::unique_ptr<PartitionReader>> idle_readers_;
};

// Deletes `path` with its write-ahead log and shared-memory file.
absl::Status RemoveDatabaseFiles(const std::string& path);
// Renames them.
absl::Status RenameDatabaseFiles(const std::string& path, const std::string& new_path);

}  // namespace podtap::store::sqlite
