// What holds of a pipeline whatever goes in.
#pragma once

#include <cstdio>
#include <set>
#include <string>
#include <utility>

#include "common/status.h"
#include "tests/support/segment_script.h"

namespace podtap::fuzz {

inline void CheckLedger(const testing::PipelineHarness& harness) {
  const std::string problems = harness.CheckLedger();
  std::fputs(problems.c_str(), stderr);
  PODTAP_CHECK(problems.empty());
}

// Bounds and promises of every exchange that came out.
inline void CheckExchanges(const testing::PipelineHarness& harness, const PipelineLimits& limits) {
  std::set<std::pair<uint64_t, uint32_t>> seen;
  for (const pairing::Exchange& exchange : harness.exchanges()) {
    PODTAP_CHECK(seen.emplace(exchange.connection_id, exchange.exchange_index).second);
    PODTAP_CHECK(!exchange.request.method.empty());
    PODTAP_CHECK(exchange.request.headers.size() <= limits.max_headers);
    PODTAP_CHECK(exchange.request.headers.raw().size() <= limits.max_head_bytes);
    PODTAP_CHECK(exchange.informational_status_codes.size() <= 16);
    if (exchange.outcome == pairing::Outcome::kComplete) {
      PODTAP_CHECK(exchange.response.has_value());
    }
    if (exchange.response) {
      PODTAP_CHECK(exchange.response->head.status_code >= 100);
      PODTAP_CHECK(exchange.response->head.headers.size() <= limits.max_headers);
      PODTAP_CHECK(exchange.response->head.headers.raw().size() <= limits.max_head_bytes);
    }
  }
}

// Ends everything; then nothing is open, held or forgotten about.
inline void FinishAndCheck(testing::PipelineHarness& harness, const PipelineLimits& limits) {
  harness.Finish();
  CheckLedger(harness);
  CheckExchanges(harness, limits);
  PODTAP_CHECK(harness.pipeline.connections() == 0);
  PODTAP_CHECK(harness.pipeline.open_exchanges() == 0);
  PODTAP_CHECK(harness.Bytes("buffered") == 0);
  PODTAP_CHECK(harness.feedback.forgotten.size() == harness.Count("connections_opened"));
}

}  // namespace podtap::fuzz
