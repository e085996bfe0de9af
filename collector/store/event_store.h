// Interface of the event store: takes what agents send, answers scans over what is kept.
//
// Flow: ingest submits writes -> the store commits them in groups, with each node's high-water mark
// in the same transaction as the rows -> ingest acknowledges. Query reads what is committed.
//
// Every event gets a row number when it is stored. Row numbers grow by one for ever, across
// restarts, and are never used twice: cursors and page tokens are built on them.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "podtap/v1/event.pb.h"
#include "podtap/v1/ingest_service.pb.h"
#include "podtap/v1/query_service.pb.h"

namespace podtap::store {

// Sequences and times above this are refused at ingest, so that sums never overflow.
constexpr uint64_t kMaxSequence = uint64_t{1} << 62;

// Whose log a write belongs to.
struct Origin {
  std::string node_name;
  std::string cluster_name;
  uint64_t epoch = 0;
};

// Stores the events of a batch. `batch` went through ingest::PrepareBatch.
struct BatchWrite {
  Origin origin;
  v1::EventBatch batch;
};

// Moves the high-water mark over a range that will never be stored, and records it as a loss.
struct SkipWrite {
  Origin origin;
  uint64_t first_sequence = 0;
  uint64_t last_sequence = 0;
  v1::LedgerStage stage = v1::LEDGER_STAGE_UNSPECIFIED;
  std::string name;
};

// Loss counters of a status, cumulative since the epoch began; what they grew by is recorded as a
// loss at the time of the write. Also a sign of life: marks of epochs that give none for a week are
// forgotten.
struct LossWrite {
  Origin origin;
  std::vector<v1::LedgerEntry> counters;
};

using Write = std::variant<BatchWrite, SkipWrite, LossWrite>;

// What a committed write did. Of a LossWrite everything stays 0.
struct WriteResult {
  // The high-water mark of (node, epoch) after the commit.
  uint64_t acked_sequence = 0;
  uint64_t stored = 0;
  // Sequences at or below the high-water mark, which are not stored again.
  uint64_t duplicates = 0;
  // Sequences between the high-water mark and the write's first, recorded as a loss.
  uint64_t missing = 0;
  // Sequences newly passed over by a SkipWrite.
  uint64_t skipped = 0;
};

// Ties the writes of one stream together: when one fails, all that were submitted behind it fail
// too. Otherwise a later one could be stored over the hole that the first one left, and what the
// agent sends again would be taken for stored. Only the store looks inside.
struct WriteChain {
  bool failed = false;
};

using WriteDone = std::function<void(const absl::StatusOr<WriteResult>&)>;

// High-water mark of one epoch of a node.
struct Position {
  uint64_t epoch = 0;
  uint64_t sequence = 0;
};

// A stored event as filters look at it: what is asked for is looked up or decoded when it is first
// asked for. Valid during the call that passes it, as is what it returns. When the store can't read
// something it returns an empty value, and the scan takes care of the file.
class EventView {
 public:
  virtual ~EventView() = default;

  virtual v1::Reporter reporter() = 0;
  // 0 without a response.
  virtual uint32_t status_code() = 0;
  virtual std::string_view method() = 0;
  virtual std::string_view path() = 0;
  virtual std::string_view node_name() = 0;
  // Without their ports.
  virtual const v1::Endpoint& source() = 0;
  virtual const v1::Endpoint& destination() = 0;

  // The rest, which is dearer. Fields that have a function above are not set; `*_string` fields are
  // for text().
  virtual const v1::BatchEvent& details() = 0;
  virtual std::string_view text(uint32_t id) = 0;
};

enum class ScanOrder { kOldestStart, kNewestStart, kRowAscending, kRowDescending };

// A place in a scan.
struct ScanPosition {
  int64_t start_ns = 0;
  uint64_t row = 0;
};

// Which events to look at.
struct ScanRequest {
  ScanOrder order = ScanOrder::kNewestStart;
  // Half-open range of start times.
  int64_t begin_ns = std::numeric_limits<int64_t>::min();
  int64_t end_ns = std::numeric_limits<int64_t>::max();
  // Rows after_row < row <= last_row.
  uint64_t after_row = 0;
  uint64_t last_row = std::numeric_limits<int64_t>::max();
  // Goes on behind this place; for the two orders by start time.
  std::optional<ScanPosition> resume;
};

// What the scan calls, all on the caller's thread.
struct ScanCallbacks {
  // Whether the event is wanted. Empty: all are.
  std::function<bool(EventView&)> matches;
  // Takes a wanted event; false ends the scan behind it.
  std::function<bool(const ScanPosition&, v1::HttpEvent)> on_event;
  // Asked before every row; false ends the scan before that row. Empty: never ends early.
  std::function<bool()> keep_going;
};

// How a scan ended.
struct ScanEnd {
  // Nothing is left in this scan.
  bool complete = false;
  // Last row looked at, when there was one.
  std::optional<ScanPosition> position;
};

// What is kept.
struct StoreState {
  // Random, fixed when the store is first made: cursors of another store are recognised by it.
  uint64_t store_id = 0;
  // 0 before the first event ever.
  uint64_t last_row = 0;
  // Row of the oldest event kept, or last_row + 1 when none is kept.
  uint64_t oldest_row = 0;
  uint64_t events = 0;
  uint64_t bytes = 0;
  // Of the events kept; absent when there is none.
  std::optional<int64_t> oldest_start_ns;
  std::optional<int64_t> newest_start_ns;
  // Everything that was received since then is kept.
  int64_t complete_since_ns = 0;
};

// Thread-safe. The destructor finishes what is queued.
class EventStore {
 public:
  virtual ~EventStore() = default;

  // Queues a write. `done` is called once, from the store's own thread, in the order of Submit:
  // after the commit, or with an error when nothing of the write was stored. It must not block.
  // `chain` is shared by the submitter and the writes that are queued.
  virtual void Submit(std::shared_ptr<WriteChain> chain, Write write, WriteDone done) = 0;

  // Committed high-water marks of a node, newest first, at most 64.
  virtual std::vector<Position> Positions(const std::string& node_name) const = 0;

  // Walks through events. Files that retention removes meanwhile are left out.
  virtual absl::StatusOr<ScanEnd> Scan(const ScanRequest& request,
                                       const ScanCallbacks& callbacks) = 0;

  // Losses recorded in a half-open range of time, added up per node, stage and name.
  virtual absl::StatusOr<std::vector<v1::Loss>> Losses(int64_t begin_ns, int64_t end_ns) = 0;

  virtual StoreState State() const = 0;

  // OK while writes are taken; else why they are not. The store tries again by itself, so it
  // becomes OK also when nobody submits.
  virtual absl::Status WriteStatus() const = 0;
  // Calls `listener` on the store's thread whenever WriteStatus() turns to an error or back. Set
  // once, before anything is submitted.
  virtual void SetWriteStatusListener(std::function<void(const absl::Status&)> listener) = 0;

  // Waits until a row behind `row` is committed, WakeWaiters() is called or `timeout_ns` passes.
  // Returns the last row committed.
  virtual uint64_t WaitForRows(uint64_t row, int64_t timeout_ns) = 0;
  virtual void WakeWaiters() = 0;
};

}  // namespace podtap::store
