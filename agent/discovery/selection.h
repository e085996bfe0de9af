// Which pods are watched, by their names and labels. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/discovery/pod.h"

namespace podtap::discovery {

// Whether all of `text` matches: `*` stands for any number of bytes, `?` for one, everything else
// for itself. Takes at most about as many steps as the product of both lengths.
bool MatchesGlob(std::string_view glob, std::string_view text);

// What a pod is matched with: globs of namespaces and of pods' names, and labels, "KEY" (with
// whatever value) or "KEY=VALUE".
struct PodPatterns {
  std::vector<std::string> namespaces;
  std::vector<std::string> pods;
  std::vector<std::string> labels;
};

// A pod is watched when, of each kind of pattern in `include` that is given, one matches, and none
// of `exclude` does. Immutable.
class PodSelection {
 public:
  static constexpr size_t kMaxPatterns = 256;

  // Selects all pods.
  PodSelection() = default;
  // kInvalidArgument is one line that begins with the flag at fault: --include-… or --exclude-…,
  // and the kind: namespace, pod or label.
  static absl::StatusOr<PodSelection> Make(PodPatterns include, PodPatterns exclude);

  bool selects_all() const;
  // Why the pod is not watched, in words that name the flag; empty when it is. To be asked with all
  // of the pod's labels, so before DescribePod().
  std::string ReasonToExclude(const PodIdentity& pod) const;

 private:
  PodPatterns include_;
  PodPatterns exclude_;
};

}  // namespace podtap::discovery
