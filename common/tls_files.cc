#include "common/tls_files.h"

#include <string>
#include <utility>

#include "common/clock.h"
#include "common/log.h"
#include "common/status.h"

namespace podtap {
namespace {

constexpr int64_t kWarnIntervalNs = int64_t{24} * 3'600 * 1'000'000'000;
// Readings until two in a row are the same.
constexpr int kMaxReadings = 5;

}  // namespace

absl::StatusOr<std::shared_ptr<TlsFiles>> TlsFiles::Open(const TlsPaths& paths) {
  auto files = std::shared_ptr<TlsFiles>(new TlsFiles(paths));
  PODTAP_ASSIGN_OR_RETURN(files->in_use_, files->ReadSettled());
  PODTAP_ASSIGN_OR_RETURN(TlsMaterial material, CheckTlsBytes(paths, files->in_use_));
  files->current_ = std::make_shared<const TlsMaterial>(std::move(material));
  return files;
}

TlsFiles::~TlsFiles() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    stop_.notify_all();
  }
  if (thread_.joinable()) {
    thread_.join();
  }
}

std::shared_ptr<const TlsMaterial> TlsFiles::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

absl::StatusOr<TlsBytes> TlsFiles::ReadSettled() const {
  // A symlink that is swapped between two files of one reading would mix old and new.
  PODTAP_ASSIGN_OR_RETURN(TlsBytes bytes, ReadTlsFiles(paths_));
  for (int i = 1; i < kMaxReadings; ++i) {
    PODTAP_ASSIGN_OR_RETURN(TlsBytes again, ReadTlsFiles(paths_));
    if (again == bytes) {
      return bytes;
    }
    bytes = std::move(again);
  }
  return absl::UnavailableError("the files keep changing");
}

void TlsFiles::Refresh() {
  const std::lock_guard one_at_a_time(refreshing_);
  absl::StatusOr<TlsBytes> bytes = ReadSettled();
  if (!bytes.ok()) {
    Refuse(bytes.status());
    return;
  }
  if (*bytes == in_use_) {
    refused_.clear();
    return;
  }
  absl::StatusOr<TlsMaterial> material = CheckTlsBytes(paths_, *bytes);
  if (!material.ok()) {
    Refuse(material.status());
    return;
  }
  refused_.clear();
  in_use_ = *std::move(bytes);
  if (material->has_certificate()) {
    PODTAP_LOG_INFO("TLS files changed: the next connections use certificate {}", material->serial);
  } else {
    PODTAP_LOG_INFO("TLS files changed: the next connections use them");
  }
  const std::lock_guard lock(mutex_);
  current_ = std::make_shared<const TlsMaterial>(*std::move(material));
}

void TlsFiles::Refuse(const absl::Status& why) {
  if (std::string text(why.message()); text != refused_) {
    PODTAP_LOG_WARN("TLS files changed and can't be used, those before stay in use: {}", text);
    refused_ = std::move(text);
  }
}

void TlsFiles::Watch(std::chrono::milliseconds interval) {
  PODTAP_CHECK(!thread_.joinable());
  thread_ = std::thread([this, interval] { RunWatch(interval); });
}

void TlsFiles::RunWatch(std::chrono::milliseconds interval) {
  const SystemClock clock;
  std::shared_ptr<const TlsMaterial> looked_at;
  int64_t looked_ns = 0;
  while (true) {
    const std::shared_ptr<const TlsMaterial> material = current();
    const int64_t now_ns = clock.MonotonicNs();
    if (material != looked_at || now_ns - looked_ns >= kWarnIntervalNs) {
      looked_at = material;
      looked_ns = now_ns;
      if (const std::string text = ExpiryWarning(paths_, *material, clock.WallNs());
          !text.empty()) {
        PODTAP_LOG_WARN("{}", text);
      }
    }
    {
      std::unique_lock lock(mutex_);
      if (stop_.wait_for(lock, interval, [&] { return stopping_; })) {
        return;
      }
    }
    Refresh();
  }
}

}  // namespace podtap
