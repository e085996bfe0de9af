// The body of /metrics: samples by family, in Prometheus's text format.
//
// Flow: a page is made for each scrape from copies of what the stages count, and thrown away. The
// counters stay where they are; nothing is counted twice.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/histogram.h"

namespace podtap {

// Names and values. Values are valid UTF-8; an empty one is the same as none.
using MetricLabels = std::vector<std::pair<std::string_view, std::string_view>>;

// Not thread-safe. Families appear in the order of their first sample; `help` is that sample's.
class MetricsPage {
 public:
  MetricsPage();
  ~MetricsPage();

  void Counter(std::string_view name, std::string_view help, const MetricLabels& labels,
               double value);
  void Gauge(std::string_view name, std::string_view help, const MetricLabels& labels,
             double value);
  void Histogram(std::string_view name, std::string_view help, const MetricLabels& labels,
                 const HistogramValues& values);

  std::string Text() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

}  // namespace podtap
