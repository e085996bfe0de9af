// The writer's thread of SqliteStore.
#include <algorithm>
#include <chrono>

#include "absl/strings/str_format.h"
#include "collector/store/sqlite/sqlite_store.h"
#include "common/log.h"
#include "common/status.h"

namespace podtap::store::sqlite {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kNsPerHour = 3600 * kNsPerSecond;
constexpr int64_t kMaintenancePeriodNs = 10 * kNsPerSecond;
// How often a store that takes no writes is tried.
constexpr int64_t kProbePeriodNs = kNsPerSecond;
// How often a mark that does not change is marked as still in use.
constexpr int64_t kTouchPeriodNs = kNsPerHour;
constexpr size_t kMaxGroupWrites = 64;
constexpr uint64_t kMinFileBytes = 256 << 10;

// Whether anything was written to the file: events, or losses alone.
bool HasContent(const PartitionFile& file) {
  return file.events() > 0 || file.extent().last_arrival_ns > file.header().created_ns;
}

// Drops marks that changed last before `oldest_ns`, and then, if `map` is at its bound, the tenth
// that changed longest ago.
template <typename Map>
void PruneMap(Map& map, int64_t oldest_ns, size_t bound) {
  absl::erase_if(map, [&](const auto& entry) { return entry.second.updated_ns < oldest_ns; });
  if (map.size() < bound) {
    return;
  }
  std::vector<int64_t> times;
  for (const auto& entry : map) {
    times.push_back(entry.second.updated_ns);
  }
  const auto cut = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 10);
  std::nth_element(times.begin(), cut, times.end());
  const int64_t cut_ns = *cut;
  absl::erase_if(map, [&](const auto& entry) { return entry.second.updated_ns <= cut_ns; });
}

}  // namespace

void SqliteStore::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    const int64_t wait_ns = write_status_.ok() ? kMaintenancePeriodNs : kProbePeriodNs;
    queue_changed_.wait_for(lock, std::chrono::nanoseconds(wait_ns), [&] {
      return !queue_.empty() || stopping_ || maintenance_asked_ > maintenance_done_;
    });
    std::vector<Queued> group;
    while (!queue_.empty() && group.size() < kMaxGroupWrites) {
      group.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    if (stopping_ && group.empty()) {
      break;
    }
    const uint64_t asked = maintenance_asked_;
    const bool maintain = asked > maintenance_done_;
    lock.unlock();
    if (!group.empty()) {
      WriteGroup(std::move(group));
    } else if (!WriteStatus().ok()) {
      SetWriteStatus(Probe());
    }
    if (maintain || clock_->MonotonicNs() - last_maintenance_ns_ >= kMaintenancePeriodNs) {
      RunMaintenance();
    }
    lock.lock();
    maintenance_done_ = asked;
    if (maintain) {
      rows_changed_.notify_all();
    }
  }
  lock.unlock();
  CloseWriter();
}

void SqliteStore::WriteGroup(std::vector<Queued> group) {
  std::vector<absl::StatusOr<WriteResult>> results;
  const int64_t start_ns = clock_->MonotonicNs();
  const absl::Status status = ApplyGroup(group, &results);
  write_durations_.Observe(clock_->MonotonicNs() - start_ns);
  if (status.ok()) {
    current_->Publish(writer_->extent());
    {
      const std::lock_guard lock(mutex_);
      marks_.Commit();
      last_row_ = writer_->extent().last_row;
    }
    rows_changed_.notify_all();
    SetWriteStatus(status);
    for (size_t i = 0; i < group.size(); ++i) {
      group[i].done(results[i]);
    }
    return;
  }
  marks_.Discard();
  if (writer_) {
    writer_->Rollback();
  }
  if (absl::IsDataLoss(status) && current_) {
    CloseWriter();
    catalog_->SetAside(current_, status);
    current_ = nullptr;
  } else if (!absl::IsResourceExhausted(status)) {
    // The connection may be what is broken; the next group opens the file again.
    CloseWriter();
  }
  SetWriteStatus(status);
  for (Queued& queued : group) {
    if (queued.chain) {
      queued.chain->failed = true;
    }
    queued.done(status);
  }
}

absl::Status SqliteStore::ApplyGroup(std::vector<Queued>& group,
                                     std::vector<absl::StatusOr<WriteResult>>* results) {
  const int64_t now_ns = clock_->WallNs();
  PODTAP_RETURN_IF_ERROR(EnsureWriter(now_ns));
  PODTAP_RETURN_IF_ERROR(writer_->Begin());
  for (Queued& queued : group) {
    if (queued.chain && queued.chain->failed) {
      results->emplace_back(absl::UnavailableError("a write before this one failed"));
      continue;
    }
    PODTAP_ASSIGN_OR_RETURN(const WriteResult result, Apply(queued.write, now_ns));
    results->emplace_back(result);
  }
  PODTAP_RETURN_IF_ERROR(writer_->PutMarks(marks_));
  return writer_->Commit(now_ns);
}

absl::StatusOr<WriteResult> SqliteStore::Apply(Write& write, int64_t now_ns) {
  if (auto* batch = std::get_if<BatchWrite>(&write)) {
    return ApplyBatch(*batch, now_ns);
  }
  if (auto* skip = std::get_if<SkipWrite>(&write)) {
    return ApplySkip(*skip, now_ns);
  }
  return ApplyLosses(std::get<LossWrite>(write), now_ns);
}

absl::StatusOr<WriteResult> SqliteStore::ApplyBatch(BatchWrite& write, int64_t now_ns) {
  const EpochKey key{write.origin.node_name, write.origin.epoch};
  const Mark* mark = marks_.high_water.Find(key);
  const uint64_t high_water = mark == nullptr ? 0 : mark->value;
  const uint64_t first = write.batch.first_sequence();
  const auto size = static_cast<uint64_t>(write.batch.events_size());
  const uint64_t last = first + size - 1;
  WriteResult result;
  result.acked_sequence = std::max(high_water, last);
  result.duplicates = first > high_water ? 0 : std::min(size, high_water - first + 1);
  result.stored = size - result.duplicates;
  if (result.stored == 0) {
    return result;
  }
  PODTAP_RETURN_IF_ERROR(RecordHole(write.origin, high_water, first, now_ns, &result));
  PODTAP_RETURN_IF_ERROR(
      writer_->AddEvents(write.origin, write.batch, static_cast<int>(result.duplicates)));
  SetHighWater(write.origin, last, now_ns);
  return result;
}

absl::StatusOr<WriteResult> SqliteStore::ApplySkip(SkipWrite& write, int64_t now_ns) {
  const EpochKey key{write.origin.node_name, write.origin.epoch};
  const Mark* mark = marks_.high_water.Find(key);
  const uint64_t high_water = mark == nullptr ? 0 : mark->value;
  WriteResult result;
  result.acked_sequence = std::max(high_water, write.last_sequence);
  if (write.last_sequence <= high_water) {
    return result;
  }
  PODTAP_RETURN_IF_ERROR(
      RecordHole(write.origin, high_water, write.first_sequence, now_ns, &result));
  result.skipped = write.last_sequence - std::max(write.first_sequence - 1, high_water);
  PODTAP_RETURN_IF_ERROR(
      writer_->AddLoss(now_ns, write.origin.node_name, write.stage, write.name, result.skipped));
  SetHighWater(write.origin, write.last_sequence, now_ns);
  return result;
}

absl::StatusOr<WriteResult> SqliteStore::ApplyLosses(LossWrite& write, int64_t now_ns) {
  for (const v1::LedgerEntry& entry : write.counters) {
    LossKey key{{write.origin.node_name, write.origin.epoch}, entry.stage(), entry.name()};
    const Mark* mark = marks_.loss_counters.Find(key);
    const uint64_t known = mark == nullptr ? 0 : mark->value;
    const uint64_t count = std::min(entry.count(), kMaxSequence);
    if (count <= known) {
      if (mark != nullptr && mark->updated_ns + kTouchPeriodNs < now_ns) {
        marks_.loss_counters.Set(std::move(key), {known, now_ns});
      }
      continue;
    }
    PODTAP_RETURN_IF_ERROR(writer_->AddLoss(now_ns, write.origin.node_name, entry.stage(),
                                            entry.name(), count - known));
    marks_.loss_counters.Set(std::move(key), {count, now_ns});
  }
  KeepHighWater(write.origin, now_ns);
  return WriteResult();
}

absl::Status SqliteStore::RecordHole(const Origin& origin, uint64_t high_water, uint64_t first,
                                     int64_t now_ns, WriteResult* result) {
  if (first <= high_water + 1) {
    return absl::OkStatus();
  }
  result->missing = first - high_water - 1;
  return writer_->AddLoss(now_ns, origin.node_name, v1::LEDGER_STAGE_COLLECTOR, "sequence_hole",
                          result->missing);
}

void SqliteStore::SetHighWater(const Origin& origin, uint64_t sequence, int64_t now_ns) {
  marks_.high_water.Set({origin.node_name, origin.epoch}, {sequence, now_ns});
}

void SqliteStore::KeepHighWater(const Origin& origin, int64_t now_ns) {
  const Mark* mark = marks_.high_water.Find({origin.node_name, origin.epoch});
  if (mark != nullptr && mark->updated_ns + kTouchPeriodNs < now_ns) {
    SetHighWater(origin, mark->value, now_ns);
  }
}

absl::Status SqliteStore::EnsureWriter(int64_t now_ns) {
  if (!writer_ && current_) {
    absl::StatusOr<std::unique_ptr<PartitionWriter>> writer = PartitionWriter::Reopen(*current_);
    if (writer.ok()) {
      writer_ = *std::move(writer);
    } else if (absl::IsDataLoss(writer.status()) || absl::IsNotFound(writer.status())) {
      catalog_->SetAside(current_, writer.status());
      current_ = nullptr;
    } else {
      return writer.status();
    }
  }
  if (!writer_ || FileIsOver(now_ns)) {
    return StartFile(now_ns);
  }
  return absl::OkStatus();
}

bool SqliteStore::FileIsOver(int64_t now_ns) const {
  const int64_t created_ns = current_->header().created_ns;
  const int64_t span_ns = std::clamp(options_.retention_ns / 12, 60 * kNsPerSecond, kNsPerHour);
  const uint64_t max_bytes = std::max(options_.retention_bytes / 8, kMinFileBytes);
  return now_ns / kNsPerHour != created_ns / kNsPerHour || now_ns - created_ns >= span_ns ||
         (current_->events() > 0 && current_->DiskBytes() >= max_bytes);
}

absl::Status SqliteStore::StartFile(int64_t now_ns) {
  PruneMarks(now_ns);
  const FileHeader header{.store_id = store_id_, .created_ns = now_ns, .first_row = last_row_ + 1};
  const std::string path = catalog_->NewPath(now_ns);
  absl::StatusOr<std::unique_ptr<PartitionWriter>> writer =
      PartitionWriter::Create(path, header, marks_);
  if (!writer.ok()) {
    RemoveDatabaseFiles(path).IgnoreError();
    return writer.status();
  }
  const std::shared_ptr<PartitionFile> ended = current_;
  writer_ = *std::move(writer);
  current_ = std::make_shared<PartitionFile>(path, header, writer_->extent());
  catalog_->Add(current_);
  if (ended && !HasContent(*ended)) {
    catalog_->Remove(ended);
  }
  return absl::OkStatus();
}

void SqliteStore::CloseWriter() { writer_.reset(); }

void SqliteStore::PruneMarks(int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  PruneMap(marks_.high_water.mutable_committed(), now_ns - kMarkLifetimeNs, kMaxHighWaterMarks);
  PruneMap(marks_.loss_counters.mutable_committed(), now_ns - kMarkLifetimeNs, kMaxLossCounters);
}

void SqliteStore::RunMaintenance() {
  last_maintenance_ns_ = clock_->MonotonicNs();
  SetAsideBadFiles();
  const int64_t now_ns = clock_->WallNs();
  if (current_ && HasContent(*current_)) {
    if (const absl::Status status = EnsureWriter(now_ns); !status.ok()) {
      SetWriteStatus(status);
    }
  }
  if (marks_.high_water.size_bound() >= kMaxHighWaterMarks ||
      marks_.loss_counters.size_bound() >= kMaxLossCounters) {
    PruneMarks(now_ns);
  }
  const uint64_t removed =
      catalog_->Expire(now_ns, options_.retention_ns, options_.retention_bytes);
  if (removed > 0) {
    PODTAP_LOG_INFO("store: retention removed {} events", removed);
  }
}

// Whether a write of some size is taken.
absl::Status SqliteStore::Probe() {
  PODTAP_RETURN_IF_ERROR(EnsureWriter(clock_->WallNs()));
  absl::Status status = writer_->Probe();
  if (!status.ok()) {
    writer_->Rollback();
    CloseWriter();
  }
  return status;
}

// One line when writes begin to fail, and one when they are taken again.
void SqliteStore::SetWriteStatus(const absl::Status& status) {
  std::function<void(const absl::Status&)> listener;
  {
    const std::lock_guard lock(mutex_);
    const bool changed = status.ok() != write_status_.ok();
    write_status_ = status;
    if (!changed) {
      return;
    }
    listener = write_status_listener_;
  }
  if (status.ok()) {
    PODTAP_LOG_INFO("store: {} takes writes again", options_.directory);
  } else {
    PODTAP_LOG_ERROR(
        "store: can't write to {}: {}; agents keep their events and send them again; make room or "
        "mend the disk",
        options_.directory, std::string(status.message()));
  }
  if (listener) {
    listener(status);
  }
}

void SqliteStore::SetAsideBadFiles() {
  std::vector<std::pair<std::shared_ptr<PartitionFile>, absl::Status>> bad_files;
  {
    const std::lock_guard lock(mutex_);
    bad_files.swap(bad_files_);
  }
  for (const auto& [file, reason] : bad_files) {
    const PartitionFiles files = catalog_->Files();
    if (std::find(files.begin(), files.end(), file) == files.end()) {
      continue;
    }
    if (file == current_) {
      CloseWriter();
      current_ = nullptr;
    }
    catalog_->SetAside(file, reason);
  }
}

}  // namespace podtap::store::sqlite
