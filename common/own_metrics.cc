#include "common/own_metrics.h"

#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace podtap {
namespace {

// Lines that say what is there now: they go up and down.
constexpr std::array<std::string_view, 15> kCurrent = {"namespaces_left_out",
                                                       "pods_cut",
                                                       "pods_host_network",
                                                       "labels_left_out",
                                                       "pods_without_interface",
                                                       "pods_tapped_inside",
                                                       "taps_one_sided",
                                                       "pods_not_reported",
                                                       "pods_excluded",
                                                       "buffered",
                                                       "open",
                                                       "addresses_known",
                                                       "held",
                                                       "events_queued",
                                                       "tls_uses"};

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

std::string ReadFile(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The number in a field of /proc/self/stat, counted from the one behind the name in brackets, which
// may hold anything.
uint64_t StatField(size_t index) {
  const std::string stat = ReadFile("/proc/self/stat");
  const size_t name_end = stat.rfind(')');
  uint64_t value = 0;
  if (name_end != std::string::npos) {
    const std::vector<std::string> fields =
        absl::StrSplit(stat.substr(name_end + 1), ' ', absl::SkipEmpty());
    if (index < fields.size() && !absl::SimpleAtoi(fields[index], &value)) {
      value = 0;
    }
  }
  return value;
}

// Unix time at which the process started; 0 when it can't be told.
double StartTime() {
  // Field 22 of proc(5), in ticks since boot.
  const uint64_t ticks = StatField(19);
  const std::string stat = ReadFile("/proc/stat");
  const size_t place = stat.find("\nbtime ");
  int64_t boot_seconds = 0;
  if (ticks == 0 || place == std::string::npos ||
      !absl::SimpleAtoi(stat.substr(place + 7, stat.find('\n', place + 1) - place - 7),
                        &boot_seconds)) {
    return 0;
  }
  return static_cast<double>(boot_seconds) +
         static_cast<double>(ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

int64_t OpenDescriptors() {
  std::error_code error;
  const std::filesystem::directory_iterator entries("/proc/self/fd", error);
  // Without the one that the count itself takes.
  return error ? -1 : std::distance(begin(entries), end(entries)) - 1;
}

}  // namespace

void AddLedgerLine(MetricsPage& page, std::string_view wire_stage, const CounterValue& value) {
  const std::string stage = absl::AsciiStrToLower(
      absl::StripPrefix(absl::string_view(wire_stage.data(), wire_stage.size()), "LEDGER_STAGE_"));
  const MetricLabels labels = {{"stage", stage}, {"name", value.name}};
  const auto count = static_cast<double>(value.count);
  const auto bytes = static_cast<double>(value.bytes);
  if (std::find(kCurrent.begin(), kCurrent.end(), value.name) != kCurrent.end()) {
    page.Gauge("podtap_ledger_current", "Lines of the ledger that say what is there now.", labels,
               count);
    page.Gauge("podtap_ledger_current_bytes", "Bytes of lines of podtap_ledger_current.", labels,
               bytes);
    return;
  }
  page.Counter("podtap_ledger_total", "Lines of the ledger, in the unit of their stage.", labels,
               count);
  if (value.bytes > 0) {
    page.Counter("podtap_ledger_bytes_total", "Bytes of lines of podtap_ledger_total.", labels,
                 bytes);
  }
  if (value.is_loss) {
    page.Counter("podtap_lost_events_total", "What is lost for good, in the unit of its stage.",
                 {{"stage", stage}, {"reason", value.name}}, count);
  }
}

void AddProcess(MetricsPage& page) {
  page.Gauge("podtap_build_info", "Always 1; the version is in the label.",
             {{"version", PODTAP_VERSION}}, 1);
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) == 0) {
    page.Counter("process_cpu_seconds_total", "User and system CPU time spent.", {},
                 Seconds(usage.ru_utime) + Seconds(usage.ru_stime));
  }
  // Field 24 of proc(5), in pages.
  if (const uint64_t pages = StatField(21); pages > 0) {
    page.Gauge("process_resident_memory_bytes", "Resident memory.", {},
               static_cast<double>(pages) * static_cast<double>(::sysconf(_SC_PAGESIZE)));
  }
  if (const int64_t open = OpenDescriptors(); open >= 0) {
    page.Gauge("process_open_fds", "Open file descriptors.", {}, static_cast<double>(open));
  }
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    page.Gauge("process_max_fds", "Most file descriptors that may be open.", {},
               static_cast<double>(limit.rlim_cur));
  }
  if (const double start = StartTime(); start > 0) {
    page.Gauge("process_start_time_seconds", "When the process started, Unix time.", {}, start);
  }
}

}  // namespace podtap
