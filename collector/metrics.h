// The collector's /metrics in Prometheus's text format. See docs/metrics.md.
#pragma once

#include <string>

#include "collector/ingest/ingest_service.h"
#include "collector/query/query_service.h"
#include "collector/store/sqlite/sqlite_store.h"

namespace podtap {

// Reads copies; thread-safe.
std::string CollectorMetrics(const store::sqlite::SqliteStore& store, ingest::IngestService& ingest,
                             const query::QueryService& query);

}  // namespace podtap
