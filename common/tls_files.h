// The certificate files of one program, read again when they change.
//
// Replacing a file, writing it in place and swapping a symlink above it all work: it is the content
// that is compared. Files that can't be used, half written ones for example, are said once and
// change nothing; the ones read before stay in use until there are better ones.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "common/tls_material.h"

namespace podtap {

// Thread-safe. Shared by the options, which open it, and everything that makes credentials of it.
class TlsFiles {
 public:
  static constexpr std::chrono::milliseconds kWatchInterval{5'000};

  // Reads and checks the files; kInvalidArgument names flag and file.
  static absl::StatusOr<std::shared_ptr<TlsFiles>> Open(const TlsPaths& paths);
  ~TlsFiles();

  // What was read last and is usable; never null.
  std::shared_ptr<const TlsMaterial> current() const;

  // Looks at the files, and logs when they changed.
  void Refresh();

  // Calls Refresh() at every interval on a thread of its own, and warns once a day of what has
  // expired or soon will. At most once.
  void Watch(std::chrono::milliseconds interval = kWatchInterval);

 private:
  explicit TlsFiles(TlsPaths paths) : paths_(std::move(paths)) {}
  // The files as they are when nobody is writing to them.
  absl::StatusOr<TlsBytes> ReadSettled() const;
  void Refuse(const absl::Status& why);
  void RunWatch(std::chrono::milliseconds interval);

  const TlsPaths paths_;
  // One Refresh() at a time; guards in_use_ and refused_.
  std::mutex refreshing_;
  TlsBytes in_use_;
  // Why the files were refused, as it was said last; empty when they are usable.
  std::string refused_;

  mutable std::mutex mutex_;
  std::shared_ptr<const TlsMaterial> current_;
  bool stopping_ = false;
  std::condition_variable stop_;
  std::thread thread_;
};

}  // namespace podtap
