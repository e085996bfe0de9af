// Thin owners of an SQLite connection and its statements, with absl::Status for errors.
//
// SQLite's codes become: CORRUPT and NOTADB kDataLoss, CANTOPEN kNotFound, FULL kResourceExhausted,
// everything else kUnavailable.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct sqlite3;
struct sqlite3_stmt;

namespace podtap::store::sqlite {

// A prepared statement. Movable; used by one thread at a time; dies before its Database.
class Statement {
 public:
  Statement() = default;
  explicit Statement(sqlite3_stmt* handle) : handle_(handle) {}
  Statement(Statement&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Statement& operator=(Statement&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement();

  // Parameters are numbered from 1. Text and blobs are borrowed until Reset() or Run().
  Statement& Bind(int index, int64_t value);
  Statement& Bind(int index, uint64_t value) { return Bind(index, static_cast<int64_t>(value)); }
  Statement& Bind(int index, int value) { return Bind(index, int64_t{value}); }
  Statement& Bind(int index, std::string_view text);
  Statement& BindBlob(int index, std::string_view bytes);

  // True when there is a row, false when the statement is done.
  absl::StatusOr<bool> Step();
  // Runs a statement that gives no rows and makes it ready to be used again.
  absl::Status Run();
  void Reset();

  // Columns are numbered from 0. Views are valid until the next Step() or Reset().
  int64_t Int(int column) const;
  bool IsNull(int column) const;
  std::string_view Bytes(int column) const;

 private:
  sqlite3_stmt* handle_ = nullptr;
};

// A connection. Movable; used by one thread at a time.
class Database {
 public:
  enum class Mode { kCreate, kExisting };

  Database() = default;
  Database(Database&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Database& operator=(Database&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  static absl::StatusOr<Database> Open(const std::string& path, Mode mode);

  absl::Status Execute(const char* sql);
  absl::StatusOr<Statement> Prepare(const char* sql) const;
  // The single integer that `sql` gives; `missing` when it gives no row or NULL.
  absl::StatusOr<int64_t> QueryInt(const char* sql, int64_t missing) const;

 private:
  explicit Database(sqlite3* handle) : handle_(handle) {}

  sqlite3* handle_ = nullptr;
};

}  // namespace podtap::store::sqlite
