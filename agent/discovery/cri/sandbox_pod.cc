#include "agent/discovery/cri/sandbox_pod.h"

#include <algorithm>
#include <string_view>

#include "common/text.h"

namespace podtap::discovery::cri {
namespace {

// What Kubernetes allows for names.
constexpr size_t kMaxName = 253;
constexpr size_t kMaxImage = 512;
constexpr std::string_view kOwnPrefix = "io.kubernetes.";

using TextMap = google::protobuf::Map<std::string, std::string>;

// Copies what fits, in the order of keys, so that the same text gives the same result. False when
// something was left out.
bool CopyTexts(const TextMap& from, size_t max_entries, size_t max_value_bytes,
               const PodBounds& bounds, std::map<std::string, std::string>& to) {
  const std::map<std::string_view, std::string_view> sorted(from.begin(), from.end());
  size_t bytes = 0;
  bool complete = true;
  for (const auto& [key, value] : sorted) {
    if (key.substr(0, kOwnPrefix.size()) == kOwnPrefix) {
      continue;
    }
    bytes += key.size() + value.size();
    if (to.size() == max_entries || key.size() > bounds.key_bytes ||
        value.size() > max_value_bytes || bytes > bounds.text_bytes) {
      bytes -= key.size() + value.size();
      complete = false;
      continue;
    }
    to.emplace(SafeText(key), SafeText(value));
  }
  return complete;
}

}  // namespace

BoundedIdentity IdentityOf(const runtime::v1::PodSandbox& sandbox, const PodBounds& bounds) {
  const runtime::v1::PodSandboxMetadata& metadata = sandbox.metadata();
  BoundedIdentity pod{.identity = {.namespace_name = SafeText(metadata.namespace_(), kMaxName),
                                   .pod_name = SafeText(metadata.name(), kMaxName),
                                   .pod_uid = SafeText(metadata.uid(), kMaxName)}};
  const bool labels = CopyTexts(sandbox.labels(), bounds.labels, bounds.label_value_bytes, bounds,
                                pod.identity.labels);
  const bool annotations =
      CopyTexts(sandbox.annotations(), bounds.annotations, bounds.annotation_value_bytes, bounds,
                pod.identity.annotations);
  pod.cut = !labels || !annotations;
  return pod;
}

void AddContainer(const runtime::v1::Container& container, BoundedIdentity& pod,
                  const PodBounds& bounds) {
  if (container.state() != runtime::v1::CONTAINER_RUNNING) {
    return;
  }
  const std::string& said = container.image().user_specified_image();
  Container added{.name = SafeText(container.metadata().name(), kMaxName),
                  .image = SafeText(said.empty() ? container.image().image() : said, kMaxImage)};
  std::vector<Container>& containers = pod.identity.containers;
  const auto place =
      std::lower_bound(containers.begin(), containers.end(), added,
                       [](const Container& a, const Container& b) { return a.name < b.name; });
  if (place != containers.end() && place->name == added.name) {
    return;
  }
  if (containers.size() == bounds.containers) {
    pod.cut = true;
    return;
  }
  containers.insert(place, std::move(added));
}

}  // namespace podtap::discovery::cri
