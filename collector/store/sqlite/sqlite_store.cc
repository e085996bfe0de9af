#include "collector/store/sqlite/sqlite_store.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <tuple>

#include "absl/container/btree_map.h"
#include "absl/strings/str_format.h"
#include "collector/store/sqlite/scan.h"
#include "common/log.h"
#include "common/status.h"

namespace podtap::store::sqlite {
namespace {

constexpr size_t kMaxPositions = 64;
constexpr size_t kMaxLossLines = 10'000;

uint64_t RandomId() {
  std::random_device device;
  return (uint64_t{device()} << 32 | device()) | 1;
}

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteStore>> SqliteStore::Open(const StoreOptions& options,
                                                               const Clock* clock) {
  auto store = std::unique_ptr<SqliteStore>(new SqliteStore(options, clock));
  PODTAP_RETURN_IF_ERROR(store->OpenFiles());
  store->thread_ = std::thread([raw = store.get()] { raw->Run(); });
  return store;
}

absl::Status SqliteStore::OpenFiles() {
  PODTAP_ASSIGN_OR_RETURN(catalog_, Catalog::Open(options_.directory, &marks_));
  const PartitionFiles files = catalog_->Files();
  store_id_ = RandomId();
  if (!files.empty()) {
    last_row_ = files.back()->extent().last_row;
    if (!catalog_->set_aside_at_open()) {
      store_id_ = files.back()->header().store_id;
      current_ = files.back();
    }
  }
  const absl::Status status = EnsureWriter(clock_->WallNs());
  if (!status.ok()) {
    return absl::Status(status.code(),
                        absl::StrFormat("write to store directory %s: %s; make room there, or "
                                        "choose another --store",
                                        options_.directory, status.message()));
  }
  RunMaintenance();
  return absl::OkStatus();
}

SqliteStore::~SqliteStore() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  queue_changed_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void SqliteStore::Submit(std::shared_ptr<WriteChain> chain, Write write, WriteDone done) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back({std::move(chain), std::move(write), std::move(done)});
  }
  queue_changed_.notify_one();
}

std::vector<Position> SqliteStore::Positions(const std::string& node_name) const {
  std::vector<std::pair<int64_t, Position>> found;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, mark] : marks_.high_water.committed()) {
      if (key.node_name == node_name) {
        found.push_back({mark.updated_ns, {key.epoch, mark.value}});
      }
    }
  }
  std::sort(found.begin(), found.end(),
            [](const auto& a, const auto& b) { return a.first > b.first; });
  found.resize(std::min(found.size(), kMaxPositions));
  std::vector<Position> positions;
  positions.reserve(found.size());
  for (const auto& entry : found) {
    positions.push_back(entry.second);
  }
  return positions;
}

absl::StatusOr<ScanEnd> SqliteStore::Scan(const ScanRequest& request,
                                          const ScanCallbacks& callbacks) {
  ScanRequest bounded = request;
  {
    // Rows committed from now on could lie before the place where the merge already is.
    const std::lock_guard lock(mutex_);
    bounded.last_row = std::min(request.last_row, last_row_);
  }
  return ScanFiles(catalog_->Files(), bounded, callbacks,
                   [this](const std::shared_ptr<PartitionFile>& file, absl::Status reason) {
                     const std::lock_guard lock(mutex_);
                     bad_files_.emplace_back(file, std::move(reason));
                   });
}

absl::StatusOr<std::vector<v1::Loss>> SqliteStore::Losses(int64_t begin_ns, int64_t end_ns) {
  absl::btree_map<std::tuple<std::string, int, std::string>, uint64_t> sums;
  for (const auto& file : catalog_->Files()) {
    if (file->extent().last_arrival_ns < begin_ns || file->header().created_ns >= end_ns) {
      continue;
    }
    absl::StatusOr<std::unique_ptr<PartitionReader>> reader = file->Acquire();
    if (absl::IsNotFound(reader.status())) {
      continue;
    }
    PODTAP_RETURN_IF_ERROR(reader.status());
    {
      PODTAP_ASSIGN_OR_RETURN(Statement statement,
                              (*reader)->database().Prepare(
                                  "SELECT node, stage, name, total(count) FROM losses "
                                  "WHERE time_ns >= ? AND time_ns < ? GROUP BY node, stage, name"));
      statement.Bind(1, begin_ns).Bind(2, end_ns);
      while (true) {
        PODTAP_ASSIGN_OR_RETURN(const bool row, statement.Step());
        if (!row || sums.size() >= kMaxLossLines) {
          break;
        }
        sums[{std::string(statement.Bytes(0)), static_cast<int>(statement.Int(1)),
              std::string(statement.Bytes(2))}] += static_cast<uint64_t>(statement.Int(3));
      }
    }
    file->Release(*std::move(reader));
  }
  std::vector<v1::Loss> losses;
  for (const auto& [key, count] : sums) {
    v1::Loss& loss = losses.emplace_back();
    loss.set_node_name(std::get<0>(key));
    loss.set_stage(static_cast<v1::LedgerStage>(std::get<1>(key)));
    loss.set_name(std::get<2>(key));
    loss.set_count(count);
  }
  return losses;
}

StoreState SqliteStore::State() const {
  StoreState state;
  {
    const std::lock_guard lock(mutex_);
    state.store_id = store_id_;
    state.last_row = last_row_;
  }
  state.oldest_row = state.last_row + 1;
  for (const auto& file : catalog_->Files()) {
    state.bytes += file->DiskBytes();
    if (state.complete_since_ns == 0) {
      state.complete_since_ns = file->header().created_ns;
    }
    const PartitionExtent extent = file->extent();
    if (extent.last_row < file->header().first_row) {
      continue;
    }
    state.oldest_row = std::min(state.oldest_row, file->header().first_row);
    state.events += extent.last_row + 1 - file->header().first_row;
    state.oldest_start_ns =
        std::min(state.oldest_start_ns.value_or(extent.oldest_start_ns), extent.oldest_start_ns);
    state.newest_start_ns =
        std::max(state.newest_start_ns.value_or(extent.newest_start_ns), extent.newest_start_ns);
  }
  return state;
}

absl::Status SqliteStore::WriteStatus() const {
  const std::lock_guard lock(mutex_);
  return write_status_;
}

void SqliteStore::SetWriteStatusListener(std::function<void(const absl::Status&)> listener) {
  const std::lock_guard lock(mutex_);
  write_status_listener_ = std::move(listener);
}

uint64_t SqliteStore::WaitForRows(uint64_t row, int64_t timeout_ns) {
  std::unique_lock lock(mutex_);
  const uint64_t wake_ups = wake_ups_;
  rows_changed_.wait_for(lock, std::chrono::nanoseconds(timeout_ns),
                         [&] { return last_row_ > row || wake_ups_ != wake_ups; });
  return last_row_;
}

void SqliteStore::WakeWaiters() {
  {
    const std::lock_guard lock(mutex_);
    ++wake_ups_;
  }
  rows_changed_.notify_all();
}

void SqliteStore::Maintain() {
  std::unique_lock lock(mutex_);
  const uint64_t ticket = ++maintenance_asked_;
  queue_changed_.notify_one();
  rows_changed_.wait(lock, [&] { return maintenance_done_ >= ticket; });
}

}  // namespace podtap::store::sqlite
