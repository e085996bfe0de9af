#include "collector/store/sqlite/database.h"

#include <sqlite3.h>

#include <cstring>

#include "absl/strings/str_format.h"
#include "common/status.h"

namespace podtap::store::sqlite {
namespace {

absl::Status SqliteError(sqlite3* handle, int code) {
  std::string message = absl::StrFormat("sqlite: %s", sqlite3_errmsg(handle));
  if ((code & 0xff) == SQLITE_IOERR || (code & 0xff) == SQLITE_CANTOPEN) {
    // "disk I/O error" alone does not say what to mend.
    if (const int error = sqlite3_system_errno(handle); error != 0) {
      message += absl::StrFormat(" (%s)", std::strerror(error));
    }
  }
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::DataLossError(message);
    case SQLITE_CANTOPEN:
      return absl::NotFoundError(message);
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(message);
    default:
      return absl::UnavailableError(message);
  }
}

}  // namespace

Statement::~Statement() { sqlite3_finalize(handle_); }

Statement& Statement::Bind(int index, int64_t value) {
  sqlite3_bind_int64(handle_, index, value);
  return *this;
}

Statement& Statement::Bind(int index, std::string_view text) {
  // A null pointer would bind NULL.
  const char* data = text.data() == nullptr ? "" : text.data();
  sqlite3_bind_text64(handle_, index, data, text.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

Statement& Statement::BindBlob(int index, std::string_view bytes) {
  const char* data = bytes.data() == nullptr ? "" : bytes.data();
  sqlite3_bind_blob64(handle_, index, data, bytes.size(), SQLITE_STATIC);
  return *this;
}

absl::StatusOr<bool> Statement::Step() {
  const int code = sqlite3_step(handle_);
  if (code == SQLITE_ROW) {
    return true;
  }
  if (code == SQLITE_DONE) {
    return false;
  }
  return SqliteError(sqlite3_db_handle(handle_), code);
}

absl::Status Statement::Run() {
  const absl::StatusOr<bool> row = Step();
  Reset();
  return row.status();
}

void Statement::Reset() { sqlite3_reset(handle_); }

int64_t Statement::Int(int column) const { return sqlite3_column_int64(handle_, column); }

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(handle_, column) == SQLITE_NULL;
}

std::string_view Statement::Bytes(int column) const {
  const void* data = sqlite3_column_blob(handle_, column);
  return {static_cast<const char*>(data),
          static_cast<size_t>(sqlite3_column_bytes(handle_, column))};
}

Database::~Database() { sqlite3_close(handle_); }

absl::StatusOr<Database> Database::Open(const std::string& path, Mode mode) {
  const int create = mode == Mode::kCreate ? SQLITE_OPEN_CREATE : 0;
  sqlite3* handle = nullptr;
  // NOMUTEX: a connection is used by one thread at a time.
  const int code = sqlite3_open_v2(path.c_str(), &handle,
                                   SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | create, nullptr);
  Database database(handle);
  if (code != SQLITE_OK) {
    return SqliteError(handle, code);
  }
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, 5000);
  return database;
}

absl::Status Database::Execute(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : SqliteError(handle_, code);
}

absl::StatusOr<Statement> Database::Prepare(const char* sql) const {
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v2(handle_, sql, -1, &statement, nullptr);
  if (code != SQLITE_OK) {
    return SqliteError(handle_, code);
  }
  return Statement(statement);
}

absl::StatusOr<int64_t> Database::QueryInt(const char* sql, int64_t missing) const {
  PODTAP_ASSIGN_OR_RETURN(Statement statement, Prepare(sql));
  PODTAP_ASSIGN_OR_RETURN(const bool row, statement.Step());
  return row && !statement.IsNull(0) ? statement.Int(0) : missing;
}

}  // namespace podtap::store::sqlite
