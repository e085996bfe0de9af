// A reading connection to one store file, with caches of its dictionaries.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "collector/store/sqlite/database.h"
#include "collector/store/sqlite/event_codec.h"

namespace podtap::store::sqlite {

// Used by one thread at a time. What the Dictionary calls return stays valid until TrimCaches().
class PartitionReader : public Dictionary {
 public:
  static absl::StatusOr<std::unique_ptr<PartitionReader>> Open(const std::string& path);

  absl::StatusOr<std::string_view> String(int64_t id) override;
  absl::StatusOr<const v1::Endpoint*> Endpoint(int64_t id) override;
  absl::StatusOr<const Origin*> OriginOf(int64_t id) override;

  // Empties caches that have grown past their bound. Call between events.
  void TrimCaches();

  const Database& database() const { return database_; }

 private:
  PartitionReader() = default;

  Database database_;
  Statement select_string_;
  Statement select_endpoint_;
  Statement select_origin_;
  // Pointers keep the values in place while the map grows.
  absl::flat_hash_map<int64_t, std::unique_ptr<std::string>> strings_;
  absl::flat_hash_map<int64_t, std::unique_ptr<v1::Endpoint>> endpoints_;
  absl::flat_hash_map<int64_t, std::unique_ptr<Origin>> origins_;
  size_t string_bytes_ = 0;
  size_t endpoint_bytes_ = 0;
};

}  // namespace podtap::store::sqlite
