#include "collector/store/sqlite/partition_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "common/status.h"

namespace podtap::store::sqlite {
namespace {

constexpr size_t kMaxIdleReaders = 4;

uint64_t FileBytes(const std::string& path) {
  struct stat info;
  // Blocks, not size: what counts is the room taken.
  return ::stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_blocks) * 512 : 0;
}

}  // namespace

// The database goes first: a log without its database is useless, but a database without its log
// would silently miss the newest rows.
absl::Status RemoveDatabaseFiles(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    return ErrnoStatus(errno, "remove %s", path);
  }
  ::unlink((path + "-wal").c_str());
  ::unlink((path + "-shm").c_str());
  return absl::OkStatus();
}

absl::Status RenameDatabaseFiles(const std::string& path, const std::string& new_path) {
  if (::rename(path.c_str(), new_path.c_str()) != 0) {
    return ErrnoStatus(errno, "rename %s", path);
  }
  ::rename((path + "-wal").c_str(), (new_path + "-wal").c_str());
  ::unlink((path + "-shm").c_str());
  return absl::OkStatus();
}

PartitionExtent PartitionFile::extent() const {
  const std::lock_guard lock(mutex_);
  return extent_;
}

void PartitionFile::Publish(const PartitionExtent& extent) {
  const std::lock_guard lock(mutex_);
  extent_ = extent;
}

uint64_t PartitionFile::DiskBytes() const {
  return FileBytes(path_) + FileBytes(path_ + "-wal") + FileBytes(path_ + "-shm");
}

absl::StatusOr<std::unique_ptr<PartitionReader>> PartitionFile::Acquire() {
  const std::lock_guard lock(mutex_);
  if (removed_) {
    return absl::NotFoundError("the file was removed");
  }
  if (!idle_readers_.empty()) {
    std::unique_ptr<PartitionReader> reader = std::move(idle_readers_.back());
    idle_readers_.pop_back();
    return reader;
  }
  // Under the lock: opening creates a log beside the database, which must not happen after Remove.
  return PartitionReader::Open(path_);
}

void PartitionFile::Release(std::unique_ptr<PartitionReader> reader) {
  const std::lock_guard lock(mutex_);
  if (!removed_ && idle_readers_.size() < kMaxIdleReaders) {
    idle_readers_.push_back(std::move(reader));
  }
}

absl::Status PartitionFile::Remove() {
  const std::lock_guard lock(mutex_);
  removed_ = true;
  idle_readers_.clear();
  return RemoveDatabaseFiles(path_);
}

absl::Status PartitionFile::SetAside(const std::string& suffix) {
  const std::lock_guard lock(mutex_);
  removed_ = true;
  idle_readers_.clear();
  return RenameDatabaseFiles(path_, path_ + suffix);
}

}  // namespace podtap::store::sqlite
