#include "collector/store/sqlite/catalog.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string_view>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "collector/store/sqlite/load_file.h"
#include "common/log.h"
#include "common/status.h"

namespace podtap::store::sqlite {
namespace {

namespace fs = std::filesystem;

constexpr char kPrefix[] = "events-";
constexpr char kSuffix[] = ".db";
constexpr char kCorruptSuffix[] = ".corrupt";
constexpr char kSchemaSuffix[] = ".schema-";

// Names in the directory that start as ours do.
std::vector<std::string> ListNames(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    std::string name = it->path().filename().string();
    if (absl::StartsWith(name, kPrefix)) {
      names.push_back(std::move(name));
    }
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Logs and shared-memory files whose database is gone: a removal that was cut short.
void RemoveOrphans(const std::string& directory, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    for (const std::string_view suffix : {"-wal", "-shm"}) {
      if (!absl::EndsWith(name, absl::string_view(suffix.data(), suffix.size()))) {
        continue;
      }
      const std::string base = name.substr(0, name.size() - suffix.size());
      if (!std::binary_search(names.begin(), names.end(), base)) {
        ::unlink((directory + "/" + name).c_str());
      }
    }
  }
}

// Whether the file holds something that does not begin as a write-ahead log does. One that was cut
// short in its header has no rows yet.
bool LogIsDamaged(const std::string& path) {
  constexpr size_t kHeaderBytes = 32;
  constexpr std::string_view kMagic = "\x37\x7f\x06";
  std::ifstream file(path, std::ios::binary);
  char header[kHeaderBytes] = {};
  return file.read(header, sizeof(header)) && std::string_view(header, kMagic.size()) != kMagic;
}

// When the hour in the file's name was over; nullopt for a name that is not ours.
std::optional<int64_t> EndOfHourNs(const std::string& name) {
  constexpr size_t kBegin = sizeof(kPrefix) - 1;
  if (name.size() < kBegin + 10) {
    return std::nullopt;
  }
  const std::string digits = name.substr(kBegin, 10);
  absl::Time hour;
  if (!absl::ParseTime("%Y-%m-%d %H",
                       absl::StrCat(digits.substr(0, 4), "-", digits.substr(4, 2), "-",
                                    digits.substr(6, 2), " ", digits.substr(8, 2)),
                       &hour, nullptr)) {
    return std::nullopt;
  }
  return absl::ToUnixNanos(hour + absl::Hours(1));
}

absl::Status Unusable(int error, const char* attempt, const std::string& directory) {
  return absl::ErrnoToStatus(
      error,
      absl::StrFormat("%s %s (make it usable, or choose another --store)", attempt, directory));
}

bool IsSetAside(const std::string& name) {
  return absl::StrContains(name, kCorruptSuffix) || absl::StrContains(name, kSchemaSuffix);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Catalog>> Catalog::Open(const std::string& directory, Marks* marks) {
  auto catalog = std::unique_ptr<Catalog>(new Catalog(directory));
  PODTAP_RETURN_IF_ERROR(catalog->Prepare());
  PODTAP_RETURN_IF_ERROR(catalog->LoadFiles(marks));
  return catalog;
}

absl::Status Catalog::Prepare() {
  std::error_code error;
  fs::create_directories(directory_, error);
  if (error) {
    return Unusable(error.value(), "make store directory", directory_);
  }
  if (::access(directory_.c_str(), R_OK | W_OK | X_OK) != 0) {
    return Unusable(errno, "use store directory", directory_);
  }
  const std::string lock_path = directory_ + "/lock";
  lock_.Reset(::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!lock_.valid()) {
    return Unusable(errno, "write to store directory", directory_);
  }
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrFormat("store directory %s is in use by another process; give each collector a "
                        "--store of its own",
                        directory_));
  }
  return absl::OkStatus();
}

absl::Status Catalog::LoadFiles(Marks* marks) {
  const std::vector<std::string> names = ListNames(directory_);
  RemoveOrphans(directory_, names);
  for (const std::string& name : names) {
    if (!absl::EndsWith(name, kSuffix)) {
      continue;
    }
    const std::string path = directory_ + "/" + name;
    PODTAP_RETURN_IF_ERROR(SetBadLogAside(path));
    const absl::StatusOr<std::shared_ptr<PartitionFile>> file = LoadFile(path, marks);
    if (file.ok()) {
      files_.push_back(*file);
      continue;
    }
    std::string suffix;
    if (absl::IsDataLoss(file.status())) {
      suffix = kCorruptSuffix;
    } else if (absl::IsFailedPrecondition(file.status())) {
      suffix = absl::StrFormat("%s%d", kSchemaSuffix, ReadSchemaVersion(path));
    } else {
      return absl::Status(file.status().code(),
                          absl::StrFormat("read %s: %s", path, file.status().message()));
    }
    PODTAP_LOG_ERROR("store file {} can't be used ({}) and is set aside as {}{}", path,
                     std::string(file.status().message()), name, suffix);
    PODTAP_RETURN_IF_ERROR(RenameDatabaseFiles(path, path + suffix));
    set_aside_at_open_ = true;
  }
  std::sort(files_.begin(), files_.end(), [](const auto& a, const auto& b) {
    return a->header().first_row < b->header().first_row;
  });
  return absl::OkStatus();
}

// SQLite takes a write-ahead log that it can't read for an empty one, without a word. The newest
// rows were in it.
absl::Status Catalog::SetBadLogAside(const std::string& path) {
  const std::string log_path = path + "-wal";
  if (!LogIsDamaged(log_path)) {
    return absl::OkStatus();
  }
  PODTAP_LOG_ERROR(
      "write-ahead log {} can't be read and is set aside as {}{}; the newest events of its file "
      "may be gone",
      log_path, log_path, kCorruptSuffix);
  if (::rename(log_path.c_str(), (log_path + kCorruptSuffix).c_str()) != 0) {
    return ErrnoStatus(errno, "rename %s", log_path);
  }
  set_aside_at_open_ = true;
  return absl::OkStatus();
}

PartitionFiles Catalog::Files() const {
  const std::lock_guard lock(mutex_);
  return files_;
}

void Catalog::Add(std::shared_ptr<PartitionFile> file) {
  const std::lock_guard lock(mutex_);
  files_.push_back(std::move(file));
}

std::string Catalog::NewPath(int64_t now_ns) {
  const std::string stem =
      directory_ + "/" + kPrefix +
      absl::FormatTime("%Y%m%d%H", absl::FromUnixNanos(now_ns), absl::UTCTimeZone());
  // A path is not reused while readers may still have its last bearer open: SQLite removes the
  // write-ahead log by name when the last connection closes.
  int number = stem == last_stem_ ? last_number_ + 1 : 0;
  std::string path;
  std::error_code error;
  do {
    path = number == 0 ? stem + kSuffix : absl::StrFormat("%s-%d%s", stem, number, kSuffix);
    last_number_ = number++;
  } while (fs::exists(path, error) || fs::exists(path + kCorruptSuffix, error));
  last_stem_ = stem;
  return path;
}

void Catalog::Erase(const PartitionFile* file) {
  const std::lock_guard lock(mutex_);
  files_.erase(std::remove_if(files_.begin(), files_.end(),
                              [&](const auto& entry) { return entry.get() == file; }),
               files_.end());
}

void Catalog::SetAside(const std::shared_ptr<PartitionFile>& file, const absl::Status& reason) {
  Erase(file.get());
  PODTAP_LOG_ERROR("store file {} can't be used ({}) and is set aside as {}{}", file->path(),
                   std::string(reason.message()), file->path(), kCorruptSuffix);
  if (const absl::Status status = file->SetAside(kCorruptSuffix); !status.ok()) {
    PODTAP_LOG_ERROR("{}", std::string(status.message()));
  }
}

void Catalog::Remove(const std::shared_ptr<PartitionFile>& file) {
  Erase(file.get());
  if (const absl::Status status = file->Remove(); !status.ok()) {
    PODTAP_LOG_ERROR("{}", std::string(status.message()));
  }
}

uint64_t Catalog::DiskBytes() const {
  uint64_t bytes = 0;
  for (const auto& file : Files()) {
    bytes += file->DiskBytes();
  }
  return bytes;
}

uint64_t Catalog::ExpireSetAside(int64_t now_ns, int64_t retention_ns, uint64_t bytes_left) {
  struct Entry {
    std::string path;
    uint64_t bytes;
    int64_t end_ns;
  };
  std::vector<Entry> entries;
  uint64_t bytes = 0;
  for (const std::string& name : ListNames(directory_)) {
    const std::string path = directory_ + "/" + name;
    struct stat info;
    const std::optional<int64_t> end_ns = EndOfHourNs(name);
    if (end_ns && IsSetAside(name) && ::stat(path.c_str(), &info) == 0) {
      entries.push_back({path, static_cast<uint64_t>(info.st_blocks) * 512, *end_ns});
      bytes += entries.back().bytes;
    }
  }
  for (const Entry& entry : entries) {
    if (bytes > bytes_left || entry.end_ns + retention_ns <= now_ns) {
      ::unlink(entry.path.c_str());
      bytes -= entry.bytes;
    }
  }
  return bytes;
}

uint64_t Catalog::Expire(int64_t now_ns, int64_t retention_ns, uint64_t retention_bytes) {
  uint64_t removed = 0;
  uint64_t bytes = DiskBytes();
  bytes += ExpireSetAside(now_ns, retention_ns, retention_bytes - std::min(bytes, retention_bytes));
  PartitionFiles files = Files();
  for (size_t i = 0; i + 1 < files.size(); ++i) {
    const bool too_old = files[i]->extent().last_arrival_ns + retention_ns <= now_ns;
    if (!too_old && bytes <= retention_bytes) {
      break;
    }
    bytes -= std::min(bytes, files[i]->DiskBytes());
    removed += files[i]->events();
    Remove(files[i]);
  }
  return removed;
}

}  // namespace podtap::store::sqlite
