#include "collector/store/sqlite/scan.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_format.h"
#include "common/status.h"

namespace podtap::store::sqlite {
namespace {

bool ByStart(ScanOrder order) {
  return order == ScanOrder::kOldestStart || order == ScanOrder::kNewestStart;
}

bool Descending(ScanOrder order) {
  return order == ScanOrder::kNewestStart || order == ScanOrder::kRowDescending;
}

// Whether `a` comes before `b`.
bool Before(ScanOrder order, const ScanPosition& a, const ScanPosition& b) {
  if (ByStart(order) && a.start_ns != b.start_ns) {
    return (a.start_ns < b.start_ns) != Descending(order);
  }
  return a.row != b.row && (a.row < b.row) != Descending(order);
}

std::string ScanSql(const ScanRequest& request) {
  const bool descending = Descending(request.order);
  const char* direction = descending ? "DESC" : "ASC";
  const char* behind = descending ? "<" : ">";
  std::string sql = absl::StrFormat(
      "SELECT %s FROM events WHERE row > ?1 AND row <= ?2 AND start_ns >= ?3 AND start_ns < ?4",
      kEventColumns);
  if (!ByStart(request.order)) {
    return sql + absl::StrFormat(" ORDER BY row %s", direction);
  }
  if (request.resume) {
    sql +=
        absl::StrFormat(" AND start_ns %s= ?5 AND (start_ns <> ?5 OR row %s ?6)", behind, behind);
  }
  return sql + absl::StrFormat(" ORDER BY start_ns %s, row %s", direction, direction);
}

// One file of the merge.
class FileCursor {
 public:
  FileCursor(std::shared_ptr<PartitionFile> file, const PartitionExtent& extent, ScanOrder order)
      : file_(std::move(file)) {
    head_ = Descending(order) ? ScanPosition{extent.newest_start_ns, extent.last_row}
                              : ScanPosition{extent.oldest_start_ns, file_->header().first_row};
  }
  FileCursor(FileCursor&&) = default;
  FileCursor& operator=(FileCursor&&) = default;
  ~FileCursor() {
    statement_ = Statement();
    if (reader_) {
      file_->Release(std::move(reader_));
    }
  }

  bool is_open() const { return reader_ != nullptr; }
  // Place of the current row; before Open(), a place not behind any row of the file.
  const ScanPosition& head() const { return head_; }
  const EventRow& row() const { return row_; }
  PartitionReader& reader() { return *reader_; }
  const std::shared_ptr<PartitionFile>& file() const { return file_; }

  // Both return whether there is a current row. After an error the cursor is only destroyed.
  absl::StatusOr<bool> Open(const ScanRequest& request, const std::string& sql) {
    PODTAP_ASSIGN_OR_RETURN(reader_, file_->Acquire());
    PODTAP_ASSIGN_OR_RETURN(statement_, reader_->database().Prepare(sql.c_str()));
    statement_.Bind(1, request.after_row)
        .Bind(2, request.last_row)
        .Bind(3, request.begin_ns)
        .Bind(4, request.end_ns);
    if (ByStart(request.order) && request.resume) {
      statement_.Bind(5, request.resume->start_ns).Bind(6, request.resume->row);
    }
    return Advance();
  }
  absl::StatusOr<bool> Advance() {
    PODTAP_ASSIGN_OR_RETURN(const bool has_row, statement_.Step());
    if (has_row) {
      row_ = ReadEventRow(statement_);
      head_ = {row_.start_ns, row_.row};
    }
    return has_row;
  }

 private:
  std::shared_ptr<PartitionFile> file_;
  std::unique_ptr<PartitionReader> reader_;
  Statement statement_;
  ScanPosition head_;
  EventRow row_;
};

bool Overlaps(const PartitionFile& file, const PartitionExtent& extent,
              const ScanRequest& request) {
  return extent.last_row >= file.header().first_row && extent.last_row > request.after_row &&
         file.header().first_row <= request.last_row &&
         extent.newest_start_ns >= request.begin_ns && extent.oldest_start_ns < request.end_ns;
}

class Merge {
 public:
  Merge(const PartitionFiles& files, const ScanRequest& request, const BadFileSink& on_bad_file)
      : request_(request), sql_(ScanSql(request)), on_bad_file_(on_bad_file) {
    for (const auto& file : files) {
      const PartitionExtent extent = file->extent();
      if (Overlaps(*file, extent, request)) {
        cursors_.push_back(std::make_unique<FileCursor>(file, extent, request.order));
      }
    }
    std::make_heap(cursors_.begin(), cursors_.end(), After());
  }

  // The cursor at the next row; nullptr at the end.
  absl::StatusOr<FileCursor*> Next() {
    if (current_ != nullptr) {
      current_ = nullptr;
      PODTAP_RETURN_IF_ERROR(Place([](FileCursor& cursor) { return cursor.Advance(); }));
    }
    while (!cursors_.empty()) {
      if (cursors_.front()->is_open()) {
        current_ = cursors_.front().get();
        return current_;
      }
      PODTAP_RETURN_IF_ERROR(
          Place([this](FileCursor& cursor) { return cursor.Open(request_, sql_); }));
    }
    return nullptr;
  }

  // Leaves out the file of the current row, which could not be read.
  absl::Status DropCurrent(const absl::Status& reason) {
    current_ = nullptr;
    return Place([&](FileCursor&) -> absl::StatusOr<bool> { return reason; });
  }

 private:
  std::function<bool(const std::unique_ptr<FileCursor>&, const std::unique_ptr<FileCursor>&)>
  After() const {
    return [this](const auto& a, const auto& b) {
      return Before(request_.order, b->head(), a->head());
    };
  }

  // Moves the first cursor by `move` and puts it where it then belongs.
  template <typename Move>
  absl::Status Place(Move move) {
    std::pop_heap(cursors_.begin(), cursors_.end(), After());
    const absl::StatusOr<bool> has_row = move(*cursors_.back());
    if (has_row.ok() && *has_row) {
      std::push_heap(cursors_.begin(), cursors_.end(), After());
      return absl::OkStatus();
    }
    const std::unique_ptr<FileCursor> cursor = std::move(cursors_.back());
    cursors_.pop_back();
    if (has_row.ok() || absl::IsNotFound(has_row.status())) {
      return absl::OkStatus();
    }
    if (absl::IsDataLoss(has_row.status())) {
      on_bad_file_(cursor->file(), has_row.status());
      return absl::OkStatus();
    }
    return has_row.status();
  }

  const ScanRequest& request_;
  const std::string sql_;
  const BadFileSink& on_bad_file_;
  // A heap, the next in order first.
  std::vector<std::unique_ptr<FileCursor>> cursors_;
  FileCursor* current_ = nullptr;
};

// The event under the cursor when it is wanted.
absl::StatusOr<std::optional<v1::HttpEvent>> ReadWanted(FileCursor& cursor,
                                                        const ScanCallbacks& callbacks) {
  cursor.reader().TrimCaches();
  RowView view(cursor.row(), cursor.reader());
  if (callbacks.matches) {
    const bool is_wanted = callbacks.matches(view);
    PODTAP_RETURN_IF_ERROR(view.status());
    if (!is_wanted) {
      return std::nullopt;
    }
  }
  PODTAP_ASSIGN_OR_RETURN(v1::HttpEvent event, view.Expand());
  return event;
}

}  // namespace

absl::StatusOr<ScanEnd> ScanFiles(const PartitionFiles& files, const ScanRequest& request,
                                  const ScanCallbacks& callbacks, const BadFileSink& on_bad_file) {
  Merge merge(files, request, on_bad_file);
  ScanEnd end;
  while (true) {
    PODTAP_ASSIGN_OR_RETURN(FileCursor* const cursor, merge.Next());
    if (cursor == nullptr) {
      end.complete = true;
      return end;
    }
    if (callbacks.keep_going && !callbacks.keep_going()) {
      return end;
    }
    absl::StatusOr<std::optional<v1::HttpEvent>> event = ReadWanted(*cursor, callbacks);
    if (!event.ok()) {
      if (!absl::IsDataLoss(event.status())) {
        return event.status();
      }
      PODTAP_RETURN_IF_ERROR(merge.DropCurrent(event.status()));
      continue;
    }
    end.position = cursor->head();
    if (event->has_value() && !callbacks.on_event(*end.position, *std::move(*event))) {
      return end;
    }
  }
}

}  // namespace podtap::store::sqlite
