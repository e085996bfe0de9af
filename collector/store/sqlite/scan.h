// Walks through the events of several files in one order.
#pragma once

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "collector/store/event_store.h"
#include "collector/store/sqlite/catalog.h"

namespace podtap::store::sqlite {

// Told of a file that turned out corrupt; the scan goes on without it.
using BadFileSink = std::function<void(const std::shared_ptr<PartitionFile>&, absl::Status)>;

// Merges `files`. A file is opened when the order reaches it, so a scan that ends early reads
// little. Files that are gone by then are left out. Runs on the caller's thread.
absl::StatusOr<ScanEnd> ScanFiles(const PartitionFiles& files, const ScanRequest& request,
                                  const ScanCallbacks& callbacks, const BadFileSink& on_bad_file);

}  // namespace podtap::store::sqlite
