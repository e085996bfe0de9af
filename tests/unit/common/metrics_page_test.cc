#include "common/metrics_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/own_metrics.h"

namespace podtap {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(MetricsPage, WritesFamiliesWithHelpAndType) {
  MetricsPage page;
  page.Counter("a_total", "What a is.", {{"x", "1"}}, 3);
  page.Gauge("b", "What b is.", {}, 0.5);
  page.Counter("a_total", "What a is.", {{"x", "2"}}, 4);
  EXPECT_EQ(page.Text(),
            "# HELP a_total What a is.\n# TYPE a_total counter\n"
            "a_total{x=\"1\"} 3\na_total{x=\"2\"} 4\n"
            "# HELP b What b is.\n# TYPE b gauge\nb 0.5\n");
}

TEST(MetricsPage, EscapesValuesAndLeavesOutEmptyOnes) {
  MetricsPage page;
  page.Gauge("a", "A.", {{"x", "q\"b\\n\nend"}, {"y", ""}}, 1);
  EXPECT_THAT(page.Text(), HasSubstr("a{x=\"q\\\"b\\\\n\\nend\"} 1\n"));
}

TEST(MetricsPage, KeepsLargeCountsExact) {
  MetricsPage page;
  page.Counter("a_total", "A.", {}, 9'007'199'254'740'991.0);
  EXPECT_THAT(page.Text(), HasSubstr("a_total 9007199254740991\n"));
}

TEST(MetricsPage, HistogramsAreCumulative) {
  WorkHistogram histogram;
  histogram.Observe(0);
  histogram.Observe(500'000);
  histogram.Observe(500'001);
  histogram.Observe(20'000'000'000);
  MetricsPage page;
  page.Histogram("h_seconds", "H.", {{"m", "x"}}, histogram.values());
  const std::string text = page.Text();
  EXPECT_THAT(text, HasSubstr("# TYPE h_seconds histogram\n"));
  EXPECT_THAT(text, HasSubstr("h_seconds_bucket{m=\"x\",le=\"0.0005\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("h_seconds_bucket{m=\"x\",le=\"0.001\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("h_seconds_bucket{m=\"x\",le=\"10\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("h_seconds_bucket{m=\"x\",le=\"+Inf\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("h_seconds_count{m=\"x\"} 4\n"));
  EXPECT_THAT(text, HasSubstr("h_seconds_sum{m=\"x\"} 20.001000001\n"));
}

TEST(OwnMetrics, LedgerLinesGoWhereTheyBelong) {
  MetricsPage page;
  AddLedgerLine(page, "LEDGER_STAGE_KERNEL",
                {.name = "ring_full", .count = 7, .bytes = 900, .is_loss = true});
  AddLedgerLine(page, "LEDGER_STAGE_EXPORTER", {.name = "events_queued", .count = 2, .bytes = 50});
  const std::string text = page.Text();
  EXPECT_THAT(text, HasSubstr("podtap_ledger_total{stage=\"kernel\",name=\"ring_full\"} 7\n"));
  EXPECT_THAT(text,
              HasSubstr("podtap_ledger_bytes_total{stage=\"kernel\",name=\"ring_full\"} 900\n"));
  EXPECT_THAT(text,
              HasSubstr("podtap_lost_events_total{stage=\"kernel\",reason=\"ring_full\"} 7\n"));
  EXPECT_THAT(text,
              HasSubstr("podtap_ledger_current{stage=\"exporter\",name=\"events_queued\"} 2\n"));
  EXPECT_THAT(
      text, HasSubstr("podtap_ledger_current_bytes{stage=\"exporter\",name=\"events_queued\"} 50"));
  EXPECT_THAT(text, Not(HasSubstr("podtap_ledger_total{stage=\"exporter\"")));
}

TEST(OwnMetrics, ProcessIsThisOne) {
  MetricsPage page;
  AddProcess(page);
  const std::string text = page.Text();
  for (const char* name : {"podtap_build_info{version=\"", "\nprocess_cpu_seconds_total ",
                           "\nprocess_resident_memory_bytes ", "\nprocess_open_fds ",
                           "\nprocess_max_fds ", "\nprocess_start_time_seconds "}) {
    EXPECT_THAT(text, HasSubstr(name));
  }
}

}  // namespace
}  // namespace podtap
