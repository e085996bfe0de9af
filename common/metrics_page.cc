#include "common/metrics_page.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>

#include "absl/container/flat_hash_map.h"

namespace podtap {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricType;

constexpr double kNsPerSecond = 1e9;

}  // namespace

struct MetricsPage::Families {
  // An empty sample of the family, which is made when there is none.
  ClientMetric& Add(MetricType type, std::string_view name, std::string_view help,
                    const MetricLabels& labels) {
    const auto [position, is_first] = index.try_emplace(std::string(name), families.size());
    if (is_first) {
      families.push_back({std::string(name), std::string(help), type, {}});
    }
    ClientMetric& metric = families[position->second].metric.emplace_back();
    for (const auto& [label, value] : labels) {
      if (!value.empty()) {
        metric.label.push_back({std::string(label), std::string(value)});
      }
    }
    return metric;
  }

  std::vector<prometheus::MetricFamily> families;
  absl::flat_hash_map<std::string, size_t> index;
};

MetricsPage::MetricsPage() : families_(std::make_unique<Families>()) {}

MetricsPage::~MetricsPage() = default;

void MetricsPage::Counter(std::string_view name, std::string_view help, const MetricLabels& labels,
                          double value) {
  families_->Add(MetricType::Counter, name, help, labels).counter.value = value;
}

void MetricsPage::Gauge(std::string_view name, std::string_view help, const MetricLabels& labels,
                        double value) {
  families_->Add(MetricType::Gauge, name, help, labels).gauge.value = value;
}

void MetricsPage::Histogram(std::string_view name, std::string_view help,
                            const MetricLabels& labels, const HistogramValues& values) {
  ClientMetric::Histogram& out =
      families_->Add(MetricType::Histogram, name, help, labels).histogram;
  uint64_t count = 0;
  for (size_t i = 0; i < values.counts.size(); ++i) {
    count += values.counts[i];
    const double bound = i < values.bounds_ns.size()
                             ? static_cast<double>(values.bounds_ns[i]) / kNsPerSecond
                             : std::numeric_limits<double>::infinity();
    out.bucket.push_back({count, bound});
  }
  out.sample_count = count;
  out.sample_sum = values.sum_seconds;
}

std::string MetricsPage::Text() const {
  return static_cast<const prometheus::Serializer&>(prometheus::TextSerializer())
      .Serialize(families_->families);
}

}  // namespace podtap
