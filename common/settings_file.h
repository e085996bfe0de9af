// The YAML file of --config: one flat map of settings, read with care.
//
// The file is small (64 KiB), printable UTF-8, and one document. Keys are settings, values are
// scalars or lists of scalars. Everything else that YAML can say (nested maps, anchors, aliases,
// tags, several documents) is an error, as is a key that is there twice.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace podtap {

struct FileSetting {
  std::string key;
  // Counted from 1.
  int line = 0;
  bool is_list = false;
  // As they are written, quotes and escapes resolved. One, unless it is a list.
  std::vector<std::string> values;
};

// The settings in the file's order. Errors are one line, "PATH:LINE: what" or "PATH: what", and
// hold no byte that is unsafe to print.
absl::StatusOr<std::vector<FileSetting>> ReadSettingsFile(const std::string& path);

// The same for text that is read already; `name` stands for the path.
absl::StatusOr<std::vector<FileSetting>> ParseSettings(const std::string& name,
                                                       const std::string& text);

}  // namespace podtap
