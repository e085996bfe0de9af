#include "agent/options.h"

#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstdlib>

#include "absl/strings/str_format.h"
#include "agent/capture/capture_program.h"
#include "agent/discovery/cri/runtime_client.h"
#include "agent/selection_flags.h"
#include "common/command_line.h"
#include "common/status.h"
#include "common/text.h"
#include "common/tls_flags.h"
#include "common/units.h"

namespace podtap {
namespace {

// Far beyond what a flood fills between two looks; keeps a slip of the keyboard from taking the
// node's memory.
constexpr uint64_t kMaxRingBytes = 1 << 30;

// A name that takes longer does not come.
constexpr int64_t kMaxMetadataHoldNs = int64_t{60} * 1'000'000'000;

// What the flags hold before they are checked.
struct Flags {
  std::string collector;
  std::string ring_bytes = "8MiB";
  std::string discovery = "auto";
  std::string cri_endpoint;
  std::string pod_netns = "never";
  std::string admin_listen = "127.0.0.1:4272";
  std::string output;
  std::string reporters = "both";
  std::string metadata_hold = "2s";
  SelectionFlags selection;
  TlsFlags tls;
};

void AddFlags(CLI::App& app, AgentOptions& options, Flags& flags) {
  app.add_option("--collector", flags.collector, "Collector to send events to")
      ->type_name("HOST:PORT");
  app.add_flag("--stdout", options.to_stdout, "Print one line per exchange");
  app.add_option("-o,--output", flags.output,
                 "Format of --stdout: compact (default on a terminal) or json")
      ->check(CLI::IsMember({"compact", "json"}));
  app.add_option("--discovery", flags.discovery,
                 "Where pods come from: cri (the container runtime), netns (named network "
                 "namespaces in /run/netns), proc (those of running processes, which needs the "
                 "host's pids), auto (cri where a runtime answers, else netns and proc)")
      ->check(CLI::IsMember({"auto", "cri", "netns", "proc"}))
      ->capture_default_str();
  app.add_option("--cri-endpoint", flags.cri_endpoint,
                 "Socket of the container runtime (default: the usual ones of containerd, CRI-O, "
                 "cri-dockerd, k3s and MicroK8s are tried)")
      ->type_name("unix:///PATH");
  app.add_option(
         "--pod-netns", flags.pod_netns,
         "Pods to tap inside their own network namespaces, which takes CAP_SYS_ADMIN: never "
         "(none), fallback (those that the host's ends of their interfaces do not show "
         "whole), always (all)")
      ->check(CLI::IsMember({"never", "fallback", "always"}))
      ->capture_default_str();
  app.add_flag("--pod-loopback", options.inside.loopback,
               "Tap also the loopback inside each pod, for what its containers say to each other "
               "(sidecars), which takes CAP_SYS_ADMIN and a second tap for each pod");
  app.add_option("--admin-listen", flags.admin_listen,
                 "Address for probes and metrics; port 0 takes any, an empty text none")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  app.add_option("--node-name", options.node_name, "Name of this node (default: host name)")
      ->type_name("NAME");
  app.add_option("--cluster-name", options.cluster_name, "Name of the cluster")->type_name("NAME");
  app.add_option("--capture-bytes", options.capture_bytes,
                 "Longest payload of a segment that is copied whole (256 to 16384)")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--rings", options.rings,
                 "Rings between kernel and agent, each read by a thread of its own (1 to 16)")
      ->type_name("N")
      ->capture_default_str();
  app.add_option("--ring-bytes", flags.ring_bytes,
                 "Size of each ring between kernel and agent, e.g. 8MiB; a power of two")
      ->type_name("SIZE")
      ->capture_default_str();
  app.add_option("--reporters", flags.reporters, "Reports to make: both, client or server")
      ->check(CLI::IsMember({"both", "client", "server"}))
      ->capture_default_str();
  app.add_option("--metadata-hold", flags.metadata_hold,
                 "How long an exchange waits for the name of its pod, e.g. 2s; at most 60s")
      ->type_name("DURATION")
      ->capture_default_str();
  AddSelectionFlags(app, flags.selection);
  AddTlsFlags(app, TlsRole::kClient, flags.tls);
  app.add_option("--log-level", options.log_level, "debug, info, warn or error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->capture_default_str();
}

absl::Status CheckDiscovery(const Flags& flags, AgentOptions& options) {
  options.discovery = flags.discovery == "cri"     ? Discovery::kCri
                      : flags.discovery == "netns" ? Discovery::kNetns
                      : flags.discovery == "proc"  ? Discovery::kProc
                                                   : Discovery::kAuto;
  if (flags.cri_endpoint.empty()) {
    return absl::OkStatus();
  }
  if (options.discovery == Discovery::kNetns || options.discovery == Discovery::kProc) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--cri-endpoint: has no meaning with --discovery %s", flags.discovery));
  }
  PODTAP_ASSIGN_OR_RETURN(options.cri_socket_path,
                          discovery::cri::CheckEndpoint("--cri-endpoint", flags.cri_endpoint));
  return absl::OkStatus();
}

PodNetnsMode ToPodNetnsMode(const std::string& value) {
  return value == "always"     ? PodNetnsMode::kAlways
         : value == "fallback" ? PodNetnsMode::kFallback
                               : PodNetnsMode::kNever;
}

absl::Status Check(const Flags& flags, AgentOptions& options) {
  if (!flags.collector.empty()) {
    absl::StatusOr<HostPort> collector = ParseHostPort("--collector", flags.collector);
    if (!collector.ok()) {
      return collector.status();
    }
    PODTAP_ASSIGN_OR_RETURN(options.tls,
                            OpenTlsFiles(TlsRole::kClient, flags.tls, "--collector", *collector));
    options.collector = *std::move(collector);
  }
  if (!flags.admin_listen.empty()) {
    PODTAP_ASSIGN_OR_RETURN(options.admin_listen,
                            ParseHostPort("--admin-listen", flags.admin_listen));
    // --insecure has no meaning with TLS, and the admin port holds nothing that TLS is there for.
    PODTAP_RETURN_IF_ERROR(CheckPlainText("--admin-listen", *options.admin_listen,
                                          flags.tls.insecure || options.tls != nullptr));
  }
  if (!options.collector && !options.to_stdout && !options.doctor) {
    return absl::InvalidArgumentError(
        "nowhere to send events: give --collector HOST:PORT, --stdout, or both");
  }
  PODTAP_RETURN_IF_ERROR(CheckDiscovery(flags, options));
  PODTAP_RETURN_IF_ERROR(CheckSelection(flags.selection, options.pods, options.traffic));
  PODTAP_ASSIGN_OR_RETURN(const uint64_t ring_bytes,
                          ParseSizeBytes("--ring-bytes", flags.ring_bytes));
  if (ring_bytes > kMaxRingBytes / std::clamp<uint32_t>(options.rings, 1, PT_MAX_RINGS)) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "--ring-bytes: \"%s\" is more than 1GiB for all rings", SafeText(flags.ring_bytes, 100)));
  }
  options.ring_bytes = static_cast<uint32_t>(ring_bytes);
  PODTAP_RETURN_IF_ERROR(capture::CheckProgramOptions({.capture_bytes = options.capture_bytes,
                                                       .rings = options.rings,
                                                       .ring_bytes = options.ring_bytes}));
  PODTAP_ASSIGN_OR_RETURN(options.metadata_hold_ns,
                          ParseDurationNs("--metadata-hold", flags.metadata_hold));
  if (options.metadata_hold_ns > kMaxMetadataHoldNs) {
    return absl::InvalidArgumentError(absl::StrFormat("--metadata-hold: \"%s\" is more than 60s",
                                                      SafeText(flags.metadata_hold, 100)));
  }
  if (options.node_name.find('/') != std::string::npos) {
    return absl::InvalidArgumentError(
        "--node-name: must hold no \"/\", which separates the parts of event ids");
  }
  if (!flags.output.empty() && !options.to_stdout) {
    return absl::InvalidArgumentError("--output: has a meaning only with --stdout");
  }
  return absl::OkStatus();
}

std::string HostName() {
  char name[HOST_NAME_MAX + 1] = "";
  ::gethostname(name, sizeof(name) - 1);
  return name[0] != '\0' ? name : "unknown";
}

}  // namespace

std::variant<AgentOptions, int> ParseAgentOptions(int argc, const char* const* argv) {
  CommandLine command_line("Shows the HTTP requests that this node's pods make and serve.",
                           "podtap-agent");
  AgentOptions options;
  Flags flags;
  AddFlags(command_line.app(), options, flags);
  const CLI::App* doctor =
      command_line.app()
          .add_subcommand("doctor",
                          "Check what the agent needs, say what to mend, and exit: 0 when "
                          "it would work, else 1; takes the agent's flags")
          ->fallthrough();
  if (const std::optional<int> exit_code = command_line.Parse(argc, argv)) {
    return *exit_code;
  }
  options.doctor = doctor->parsed();
  if (const absl::Status status = Check(flags, options); !status.ok()) {
    return command_line.UsageError(std::string(status.message()));
  }
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  const bool compact = flags.output.empty() ? terminal : flags.output == "compact";
  options.format = compact ? exporter::LineFormat::kCompact : exporter::LineFormat::kJson;
  options.colour = terminal && std::getenv("NO_COLOR") == nullptr;
  options.reporters = flags.reporters == "client"   ? enrichment::ReporterFilter::kClient
                      : flags.reporters == "server" ? enrichment::ReporterFilter::kServer
                                                    : enrichment::ReporterFilter::kBoth;
  options.node_name = SafeText(options.node_name.empty() ? HostName() : options.node_name, 253);
  options.inside.interfaces = ToPodNetnsMode(flags.pod_netns);
  options.cluster_name = SafeText(options.cluster_name, 253);
  return options;
}

}  // namespace podtap
