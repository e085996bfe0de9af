#include "agent/discovery/selection.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "absl/strings/str_format.h"
#include "common/status.h"
#include "common/text.h"

namespace podtap::discovery {
namespace {

// What Kubernetes allows: for names; for a label's key and value.
constexpr size_t kMaxNameBytes = 253;
constexpr size_t kMaxKeyBytes = 317;
constexpr size_t kMaxValueBytes = 63;

bool IsOneOf(char byte, std::string_view bytes) {
  return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
         (byte >= '0' && byte <= '9') || bytes.find(byte) != std::string_view::npos;
}

bool HoldsOnly(std::string_view text, std::string_view bytes) {
  return std::all_of(text.begin(), text.end(), [&](char byte) { return IsOneOf(byte, bytes); });
}

// Names of network namespaces may hold what names in Kubernetes may not.
bool IsNameGlob(const std::string& glob) {
  return !glob.empty() && glob.size() <= kMaxNameBytes && HoldsOnly(glob, "-._:@+~%*?");
}

bool IsLabelPattern(const std::string& pattern) {
  const size_t equals = pattern.find('=');
  const std::string_view key = std::string_view(pattern).substr(0, equals);
  const std::string_view value =
      equals == std::string::npos ? "" : std::string_view(pattern).substr(equals + 1);
  return !key.empty() && key.size() <= kMaxKeyBytes && HoldsOnly(key, "-._/") &&
         value.size() <= kMaxValueBytes && HoldsOnly(value, "-._");
}

absl::Status CheckKind(const std::string& flag, const std::vector<std::string>& patterns,
                       bool (*is_valid)(const std::string&), const char* what) {
  if (patterns.size() > PodSelection::kMaxPatterns) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: more than %d values", flag, PodSelection::kMaxPatterns));
  }
  for (const std::string& pattern : patterns) {
    if (!is_valid(pattern)) {
      return absl::InvalidArgumentError(
          absl::StrFormat("%s: \"%s\" is not %s", flag, SafeText(pattern, 100), what));
    }
  }
  return absl::OkStatus();
}

absl::Status Check(const std::string& prefix, const PodPatterns& patterns) {
  PODTAP_RETURN_IF_ERROR(CheckKind(prefix + "namespace", patterns.namespaces, IsNameGlob,
                                   "a namespace's name, which may hold * and ?"));
  PODTAP_RETURN_IF_ERROR(
      CheckKind(prefix + "pod", patterns.pods, IsNameGlob, "a pod's name, which may hold * and ?"));
  return CheckKind(prefix + "label", patterns.labels, IsLabelPattern, "KEY or KEY=VALUE");
}

bool HasLabel(const PodIdentity& pod, const std::string& pattern) {
  const size_t equals = pattern.find('=');
  const auto label = pod.labels.find(pattern.substr(0, equals));
  return label != pod.labels.end() &&
         (equals == std::string::npos || label->second == pattern.substr(equals + 1));
}

// The first of the patterns that matches the pod, by kind; null when none does.
const std::string* MatchNamespace(const PodPatterns& patterns, const PodIdentity& pod) {
  const auto found =
      std::find_if(patterns.namespaces.begin(), patterns.namespaces.end(),
                   [&](const std::string& glob) { return MatchesGlob(glob, pod.namespace_name); });
  return found == patterns.namespaces.end() ? nullptr : &*found;
}

const std::string* MatchPod(const PodPatterns& patterns, const PodIdentity& pod) {
  const auto found =
      std::find_if(patterns.pods.begin(), patterns.pods.end(),
                   [&](const std::string& glob) { return MatchesGlob(glob, pod.pod_name); });
  return found == patterns.pods.end() ? nullptr : &*found;
}

const std::string* MatchLabel(const PodPatterns& patterns, const PodIdentity& pod) {
  const auto found =
      std::find_if(patterns.labels.begin(), patterns.labels.end(),
                   [&](const std::string& pattern) { return HasLabel(pod, pattern); });
  return found == patterns.labels.end() ? nullptr : &*found;
}

bool IsEmpty(const PodPatterns& patterns) {
  return patterns.namespaces.empty() && patterns.pods.empty() && patterns.labels.empty();
}

}  // namespace

bool MatchesGlob(std::string_view glob, std::string_view text) {
  size_t at = 0;
  size_t in_text = 0;
  // Behind the newest `*`, and where what it stands for ends as far as was tried. Only the newest
  // has to be tried again: what an older one may stand for is a part of what this one may.
  size_t retry_at = std::string_view::npos;
  size_t retry_in_text = 0;
  while (in_text < text.size()) {
    if (at < glob.size() && glob[at] == '*') {
      retry_at = ++at;
      retry_in_text = in_text;
    } else if (at < glob.size() && (glob[at] == '?' || glob[at] == text[in_text])) {
      ++at;
      ++in_text;
    } else if (retry_at != std::string_view::npos) {
      at = retry_at;
      in_text = ++retry_in_text;
    } else {
      return false;
    }
  }
  return glob.find_first_not_of('*', at) == std::string_view::npos;
}

absl::StatusOr<PodSelection> PodSelection::Make(PodPatterns include, PodPatterns exclude) {
  PODTAP_RETURN_IF_ERROR(Check("--include-", include));
  PODTAP_RETURN_IF_ERROR(Check("--exclude-", exclude));
  PodSelection selection;
  selection.include_ = std::move(include);
  selection.exclude_ = std::move(exclude);
  return selection;
}

bool PodSelection::selects_all() const { return IsEmpty(include_) && IsEmpty(exclude_); }

std::string PodSelection::ReasonToExclude(const PodIdentity& pod) const {
  if (const std::string* match = MatchNamespace(exclude_, pod)) {
    return "excluded by --exclude-namespace " + *match;
  }
  if (const std::string* match = MatchPod(exclude_, pod)) {
    return "excluded by --exclude-pod " + *match;
  }
  if (const std::string* match = MatchLabel(exclude_, pod)) {
    return "excluded by --exclude-label " + *match;
  }
  if (!include_.namespaces.empty() && MatchNamespace(include_, pod) == nullptr) {
    return "matches no --include-namespace";
  }
  if (!include_.pods.empty() && MatchPod(include_, pod) == nullptr) {
    return "matches no --include-pod";
  }
  if (!include_.labels.empty() && MatchLabel(include_, pod) == nullptr) {
    return "matches no --include-label";
  }
  return {};
}

}  // namespace podtap::discovery
