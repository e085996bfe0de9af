// EventStore on SQLite files, one per hour of arrival.
//
// One thread writes. It takes everything that is queued, stores it in one transaction together with
// the high-water marks, and then reports each write as done: the busier the collector, the more
// writes share one sync of the disk. Queries read through connections of their own.
//
// Retention unlinks whole files: an event is kept for at least the retention time, and for at most
// one file's span longer (an hour, or a twelfth of a short retention time), unless the byte bound
// is hit first. The file being written is never removed; it is ended early when it takes an eighth
// of the byte bound.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "collector/store/event_store.h"
#include "collector/store/sqlite/catalog.h"
#include "collector/store/sqlite/marks.h"
#include "collector/store/sqlite/partition_writer.h"
#include "common/clock.h"
#include "common/histogram.h"

namespace podtap::store::sqlite {

struct StoreOptions {
  std::string directory;
  int64_t retention_ns = int64_t{24} * 3600 * 1'000'000'000;
  uint64_t retention_bytes = uint64_t{8} << 30;
};

// Thread-safe.
class SqliteStore : public EventStore {
 public:
  // `clock` outlives the store. Errors name what can't be used: the directory, its lock, the disk.
  static absl::StatusOr<std::unique_ptr<SqliteStore>> Open(const StoreOptions& options,
                                                           const Clock* clock);
  ~SqliteStore() override;

  void Submit(std::shared_ptr<WriteChain> chain, Write write, WriteDone done) override;
  std::vector<Position> Positions(const std::string& node_name) const override;
  absl::StatusOr<ScanEnd> Scan(const ScanRequest& request, const ScanCallbacks& callbacks) override;
  absl::StatusOr<std::vector<v1::Loss>> Losses(int64_t begin_ns, int64_t end_ns) override;
  StoreState State() const override;
  absl::Status WriteStatus() const override;
  void SetWriteStatusListener(std::function<void(const absl::Status&)> listener) override;
  uint64_t WaitForRows(uint64_t row, int64_t timeout_ns) override;
  void WakeWaiters() override;

  // How long groups of writes took, committed or not.
  HistogramValues write_durations() const { return write_durations_.values(); }

  // Ends the file when its time is over and applies retention, as the writer does by itself every
  // few seconds. Returns when it is done.
  void Maintain();

 private:
  struct Queued {
    std::shared_ptr<WriteChain> chain;
    Write write;
    WriteDone done;
  };

  SqliteStore(StoreOptions options, const Clock* clock)
      : options_(std::move(options)), clock_(clock) {}

  absl::Status OpenFiles();

  // On the writer's thread.
  void Run();
  void WriteGroup(std::vector<Queued> group);
  absl::Status ApplyGroup(std::vector<Queued>& group,
                          std::vector<absl::StatusOr<WriteResult>>* results);
  absl::StatusOr<WriteResult> Apply(Write& write, int64_t now_ns);
  absl::StatusOr<WriteResult> ApplyBatch(BatchWrite& write, int64_t now_ns);
  absl::StatusOr<WriteResult> ApplySkip(SkipWrite& write, int64_t now_ns);
  absl::StatusOr<WriteResult> ApplyLosses(LossWrite& write, int64_t now_ns);
  absl::Status RecordHole(const Origin& origin, uint64_t high_water, uint64_t first, int64_t now_ns,
                          WriteResult* result);
  void SetHighWater(const Origin& origin, uint64_t sequence, int64_t now_ns);
  void KeepHighWater(const Origin& origin, int64_t now_ns);
  absl::Status EnsureWriter(int64_t now_ns);
  absl::Status StartFile(int64_t now_ns);
  bool FileIsOver(int64_t now_ns) const;
  void CloseWriter();
  void PruneMarks(int64_t now_ns);
  void RunMaintenance();
  absl::Status Probe();
  void SetWriteStatus(const absl::Status& status);
  void SetAsideBadFiles();

  const StoreOptions options_;
  const Clock* const clock_;
  std::unique_ptr<Catalog> catalog_;
  WorkHistogram write_durations_;

  // Writer's thread only.
  std::unique_ptr<PartitionWriter> writer_;
  std::shared_ptr<PartitionFile> current_;
  int64_t last_maintenance_ns_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable queue_changed_;
  std::condition_variable rows_changed_;
  std::deque<Queued> queue_;
  // Changed by the writer's thread under the mutex, except for the overlays, which are its own.
  Marks marks_;
  uint64_t store_id_ = 0;
  uint64_t last_row_ = 0;
  uint64_t wake_ups_ = 0;
  absl::Status write_status_;
  std::function<void(const absl::Status&)> write_status_listener_;
  uint64_t maintenance_asked_ = 0;
  uint64_t maintenance_done_ = 0;
  std::vector<std::pair<std::shared_ptr<PartitionFile>, absl::Status>> bad_files_;
  bool stopping_ = false;

  std::thread thread_;
};

}  // namespace podtap::store::sqlite
