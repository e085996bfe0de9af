// The doctor on pods: who tells of them, and what would be tapped for them.
#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

#include "absl/strings/str_format.h"
#include "agent/discovery/auto_source.h"
#include "agent/discovery/pod_namespace.h"
#include "agent/discovery/rtnl.h"
#include "agent/discovery/tap_plan.h"
#include "agent/doctor.h"
#include "common/clock.h"
#include "common/status.h"

namespace podtap {
namespace {

using discovery::Pod;
using discovery::PodList;

// Lines on single interfaces or pods; what is beyond is counted.
constexpr size_t kMaxLines = 100;

std::string Text(const absl::Status& status) { return std::string(status.message()); }

std::string NameOf(const Pod& pod) {
  return pod.identity.namespace_name + "/" + pod.identity.pod_name;
}

// What the runtime at a socket lists.
absl::StatusOr<PodList> AskRuntime(const std::string& path) {
  PODTAP_RETURN_IF_ERROR(discovery::cri::CheckSocket(path));
  discovery::cri::CallGate gate;
  discovery::cri::RuntimeClient client(path, {}, gate);
  discovery::cri::PodLister lister;
  do {
    PODTAP_RETURN_IF_ERROR(lister.Refresh(client, std::chrono::steady_clock::now()));
  } while (lister.has_more());
  return lister.list();
}

// The list of the runtime that the agent would take: the first that lists a pod, else the first
// that answers.
std::optional<PodList> CheckRuntimes(const AgentOptions& options, Findings& findings) {
  std::optional<PodList> taken;
  std::vector<std::string> paths = {options.cri_socket_path};
  if (options.cri_socket_path.empty()) {
    paths = discovery::cri::UsualSocketPaths();
  }
  for (const std::string& path : paths) {
    absl::StatusOr<PodList> list = AskRuntime(path);
    if (list.ok()) {
      findings.Ok("runtime", absl::StrFormat("%s answers; %d pods", path, list->pods.size()));
      if (!taken || (taken->pods.empty() && !list->pods.empty())) {
        taken = *std::move(list);
      }
    } else if (options.discovery == Discovery::kCri && paths.size() == 1) {
      findings.Fail("runtime", absl::StrFormat("%s: %s; is it running, and is its socket mounted?",
                                               path, Text(list.status())));
    } else {
      findings.Ok("runtime", absl::StrFormat("none at %s: %s", path, Text(list.status())));
    }
  }
  if (!taken && options.discovery == Discovery::kCri && paths.size() > 1) {
    findings.Fail("runtime",
                  "none answers; mount its socket, or name it with --cri-endpoint unix:///PATH");
  } else if (!taken && options.discovery == Discovery::kAuto) {
    findings.Warn("runtime", "none answers: pods are network namespaces until one does");
  }
  return taken;
}

PodList CheckNames(const AgentOptions& options, Findings& findings) {
  absl::StatusOr<PodList> list = discovery::NetnsSource(options.netns_directory).List();
  if (!list.ok()) {
    findings.Fail("names", Text(list.status()));
    return {};
  }
  findings.Ok("names", absl::StrFormat("%d network namespaces in %s", list->pods.size(),
                                       options.netns_directory));
  return *std::move(list);
}

// Adds what engines call their containers.
void CheckEngines(Findings& findings) {
  for (const std::string& path : discovery::proc::UsualEngineSockets()) {
    const auto list = discovery::proc::AskForContainers(path, {});
    if (list.ok()) {
      findings.Ok("engine", absl::StrFormat("%s lists %d containers", path, list->size()));
    } else if (absl::IsNotFound(list.status())) {
      findings.Ok("engine", "none at " + path);
    } else {
      findings.Warn("engine", absl::StrFormat("%s: %s; its containers have no names but their ids",
                                              path, Text(list.status())));
    }
  }
}

PodList CheckProcesses(const AgentOptions& options, Findings& findings) {
  if (const absl::Status access = discovery::proc::CheckAccess(); !access.ok()) {
    if (options.discovery == Discovery::kProc) {
      findings.Fail("processes", Text(access));
    } else {
      findings.Warn("processes", "only namespaces that have a name are pods: " + Text(access));
    }
    return {};
  }
  const SystemClock clock;
  discovery::proc::ProcSource source(clock);
  absl::StatusOr<PodList> list = source.List();
  if (!list.ok()) {
    findings.Fail("processes", Text(list.status()));
    return {};
  }
  const std::string found =
      absl::StrFormat("they live in %d network namespaces beside the host's", list->pods.size());
  if (discovery::proc::SeesHostProcesses()) {
    findings.Ok("processes", found);
  } else {
    findings.Warn("processes",
                  found +
                      "; this is not the host's pid namespace, so none of its are seen "
                      "(hostPID: true)");
  }
  CheckEngines(findings);
  return *std::move(list);
}

// The pods that the agent would know.
PodList FindPods(const AgentOptions& options, Findings& findings) {
  switch (options.discovery) {
    case Discovery::kNetns:
      return CheckNames(options, findings);
    case Discovery::kProc:
      return CheckProcesses(options, findings);
    case Discovery::kCri:
      return CheckRuntimes(options, findings).value_or(PodList());
    case Discovery::kAuto:
      break;
  }
  if (std::optional<PodList> list = CheckRuntimes(options, findings)) {
    return *std::move(list);
  }
  PodList named = CheckNames(options, findings);
  return discovery::OnePodPerNamespace(std::move(named), CheckProcesses(options, findings));
}

// Says each of a list of things, as far as lines go.
class Lines {
 public:
  Lines(Findings& findings, const char* what) : findings_(findings), what_(what) {}
  ~Lines() {
    if (count_ > kMaxLines) {
      findings_.Warn(what_, absl::StrFormat("and %d more", count_ - kMaxLines));
    }
  }
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;

  void Add(bool is_good, const std::string& text) {
    if (++count_ > kMaxLines) {
      return;
    }
    is_good ? findings_.Ok(what_, text) : findings_.Warn(what_, text);
  }

 private:
  Findings& findings_;
  const char* const what_;
  size_t count_ = 0;
};

// What is to be said of a pod that no interface of the host shows.
void AddUntapped(const Pod& pod, PodNetnsMode pod_netns, Lines& lines) {
  if (!pod.excluded_because.empty()) {
    lines.Add(true, absl::StrFormat("%s is not watched: %s", NameOf(pod), pod.excluded_because));
  } else if (pod.host_network) {
    lines.Add(false, NameOf(pod) + " is not tapped: it uses the host's network");
  } else if (pod_netns != PodNetnsMode::kNever) {
    lines.Add(true, NameOf(pod) + " is tapped inside its network namespace");
  } else {
    lines.Add(false, NameOf(pod) +
                         " is not tapped: no interface of the host leads to it that sees all of "
                         "its traffic (--pod-netns fallback taps inside)");
  }
}

absl::Status CheckInterfaces(const std::vector<Pod>& pods, const InsidePolicy& inside,
                             Findings& findings) {
  PODTAP_ASSIGN_OR_RETURN(discovery::Rtnl rtnl, discovery::Rtnl::Open());
  // First: it makes the kernel give ids.
  PODTAP_ASSIGN_OR_RETURN(const std::vector<discovery::Link> links, rtnl.Links());
  const std::vector<discovery::PodNamespace> namespaces =
      discovery::FindNamespaces(discovery::Share(pods), rtnl);
  // An agent that enters all pods leaves the host's interfaces alone.
  const bool is_always_inside = inside.interfaces == PodNetnsMode::kAlways;
  const std::vector<discovery::WantedTap> taps = is_always_inside
                                                     ? std::vector<discovery::WantedTap>()
                                                     : discovery::PlanTaps(links, namespaces);
  Lines interfaces(findings, "interface");
  for (const discovery::WantedTap& tap : taps) {
    if (tap.owner && !tap.owner->pod->excluded_because.empty()) {
      // Said below.
      continue;
    }
    if (tap.owner) {
      interfaces.Add(true, absl::StrFormat("%s is tapped for pod %s", tap.interface_name,
                                           NameOf(*tap.owner->pod)));
    } else {
      interfaces.Add(
          false, tap.interface_name + " leads to a namespace of no known pod: let go of after 30s");
    }
  }
  Lines untapped(findings, "pod");
  for (const Pod& pod : pods) {
    const bool is_tapped =
        pod.excluded_because.empty() &&
        std::any_of(taps.begin(), taps.end(), [&](const discovery::WantedTap& tap) {
          return tap.owner && tap.owner->pod->id == pod.id;
        });
    if (!is_tapped) {
      AddUntapped(pod, inside.interfaces, untapped);
    }
  }
  if (inside.loopback) {
    const auto watched = std::count_if(
        namespaces.begin(), namespaces.end(),
        [](const discovery::PodNamespace& found) { return found.pod->excluded_because.empty(); });
    findings.Ok("loopback", absl::StrFormat("pods that are tapped on it: %d", watched));
  }
  if (taps.empty() && !is_always_inside) {
    findings.Warn("interface",
                  "none of the host's leads to a pod; the agent waits for one (is it in "
                  "the host's network namespace?)");
  }
  return absl::OkStatus();
}

}  // namespace

void CheckPods(const AgentOptions& options, Findings& findings) {
  PodList list = FindPods(options, findings);
  for (Pod& pod : list.pods) {
    pod.excluded_because = options.pods.ReasonToExclude(pod.identity);
  }
  if (const absl::Status status = CheckInterfaces(list.pods, options.inside, findings);
      !status.ok()) {
    findings.Fail("interface", Text(status));
  }
}

}  // namespace podtap
