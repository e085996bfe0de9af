#include "agent/selection_flags.h"

#include <string>

#include "absl/strings/str_format.h"
#include "common/status.h"

namespace podtap {
namespace {

// More than anybody lists by hand; each exchange is compared with all.
constexpr size_t kMaxPorts = 256;

template <typename T>
CLI::Option* AddList(CLI::App& app, const char* name, std::vector<T>& values, const char* type,
                     const char* help) {
  // A comma separates values, so that a variable can hold several.
  return app.add_option(name, values, help)
      ->type_name(type)
      ->delimiter(',')
      ->allow_extra_args(false);
}

absl::Status CheckPorts(const char* flag, const std::vector<uint16_t>& ports) {
  if (ports.size() > kMaxPorts) {
    return absl::InvalidArgumentError(absl::StrFormat("%s: more than %d values", flag, kMaxPorts));
  }
  return absl::OkStatus();
}

}  // namespace

void AddSelectionFlags(CLI::App& app, SelectionFlags& flags) {
  AddList(app, "--include-namespace", flags.include.namespaces, "GLOB",
          "Watch only pods of these Kubernetes namespaces, e.g. shop,team-*");
  AddList(app, "--exclude-namespace", flags.exclude.namespaces, "GLOB",
          "Do not watch pods of these namespaces; what is excluded wins over what is included");
  AddList(app, "--include-pod", flags.include.pods, "GLOB",
          "Watch only pods of these names, e.g. web-*");
  AddList(app, "--exclude-pod", flags.exclude.pods, "GLOB", "Do not watch pods of these names");
  AddList(app, "--include-label", flags.include.labels, "KEY[=VALUE]",
          "Watch only pods that have one of these labels");
  AddList(app, "--exclude-label", flags.exclude.labels, "KEY[=VALUE]",
          "Do not watch pods that have one of these labels");
  AddList(app, "--include-port", flags.include_ports, "PORT",
          "Report only exchanges whose server's port is one of these")
      ->check(CLI::Range(1, 65535));
  AddList(app, "--exclude-port", flags.exclude_ports, "PORT",
          "Do not report exchanges whose server's port is one of these")
      ->check(CLI::Range(1, 65535));
  app.add_flag("--exclude-probes", flags.exclude_probes,
               "Do not report the kubelet's probes of pods");
}

absl::Status CheckSelection(const SelectionFlags& flags, discovery::PodSelection& pods,
                            enrichment::TrafficSelection& traffic) {
  PODTAP_ASSIGN_OR_RETURN(pods, discovery::PodSelection::Make(flags.include, flags.exclude));
  PODTAP_RETURN_IF_ERROR(CheckPorts("--include-port", flags.include_ports));
  PODTAP_RETURN_IF_ERROR(CheckPorts("--exclude-port", flags.exclude_ports));
  traffic = {.include_ports = flags.include_ports,
             .exclude_ports = flags.exclude_ports,
             .exclude_probes = flags.exclude_probes,
             .only_known_pods = !pods.selects_all()};
  return absl::OkStatus();
}

}  // namespace podtap
