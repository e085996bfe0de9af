// The writing connection to the file being written.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "collector/store/event_store.h"
#include "collector/store/sqlite/database.h"
#include "collector/store/sqlite/marks.h"
#include "collector/store/sqlite/partition_file.h"

namespace podtap::store::sqlite {

// Everything between Begin() and Commit() is one transaction. After an error the caller calls
// Rollback(). Not thread-safe; the store's writer thread is its only user.
class PartitionWriter {
 public:
  // Makes a new file and copies `marks` into it.
  static absl::StatusOr<std::unique_ptr<PartitionWriter>> Create(const std::string& path,
                                                                 const FileHeader& header,
                                                                 const Marks& marks);
  // Goes on with a file made earlier.
  static absl::StatusOr<std::unique_ptr<PartitionWriter>> Reopen(const PartitionFile& file);
  ~PartitionWriter();

  absl::Status Begin();
  // Stores the events of `batch` from number `first` on, under new rows. Changes `batch`.
  absl::Status AddEvents(const Origin& origin, v1::EventBatch& batch, int first);
  absl::Status AddLoss(int64_t time_ns, const std::string& node_name, int stage,
                       const std::string& name, uint64_t count);
  // Writes the overlays of `marks`.
  absl::Status PutMarks(const Marks& marks);
  // `now_ns` becomes the extent's last arrival.
  absl::Status Commit(int64_t now_ns);
  void Rollback();
  // Writes as much as a batch may take, and takes it away again: two transactions of its own.
  absl::Status Probe();

  // What is committed.
  const PartitionExtent& extent() const { return committed_; }

 private:
  PartitionWriter() = default;
  absl::Status PrepareStatements();
  absl::Status LoadNextIds();
  absl::StatusOr<uint32_t> StringId(const std::string& text);
  absl::StatusOr<int64_t> EndpointId(const v1::Endpoint& endpoint);
  absl::StatusOr<int64_t> OriginId(const Origin& origin);
  absl::Status AddEvent(int64_t origin, uint64_t sequence, int64_t base_ns, v1::BatchEvent& event);
  void ForgetDictionaries();

  Database database_;
  Statement insert_string_;
  Statement insert_endpoint_;
  Statement insert_origin_;
  Statement insert_event_;
  Statement insert_loss_;
  Statement put_high_water_;
  Statement put_loss_counter_;

  PartitionExtent committed_;
  PartitionExtent pending_;

  // Newest dictionary entries by value; emptied at a bound, after which values get a second id.
  absl::flat_hash_map<std::string, uint32_t> strings_;
  absl::flat_hash_map<std::string, int64_t> endpoints_;
  absl::flat_hash_map<std::string, int64_t> origins_;
  size_t string_bytes_ = 0;
  size_t endpoint_bytes_ = 0;
  uint32_t next_string_ = 1;
  int64_t next_endpoint_ = 1;
  int64_t next_origin_ = 1;
  // Of the batch being stored: file's id by the batch's index, 0 where not looked up yet.
  std::vector<uint32_t> string_ids_;
  std::vector<int64_t> endpoint_ids_;
};

}  // namespace podtap::store::sqlite
