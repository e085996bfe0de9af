#include "collector/options.h"

#include <optional>

#include "absl/strings/str_format.h"
#include "common/command_line.h"
#include "common/status.h"
#include "common/text.h"
#include "common/tls_flags.h"
#include "common/units.h"

namespace podtap {
namespace {

// Below this a store could not hold even one file of useful size.
constexpr uint64_t kMinRetentionBytes = 16 << 20;

// What the flags hold before they are checked.
struct Flags {
  std::string listen = "127.0.0.1:4270";
  std::string admin_listen = "127.0.0.1:4271";
  std::string store = "sqlite:/var/lib/podtap";
  std::string retention = "24h";
  std::string retention_bytes = "8GiB";
  TlsFlags tls;
};

void AddFlags(CLI::App& app, Flags& flags, CollectorCommand& command) {
  app.add_option("--listen", flags.listen, "Address for agents and clients; port 0 takes any")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  app.add_option("--admin-listen", flags.admin_listen,
                 "Address for probes and metrics; port 0 takes any, an empty text none")
      ->type_name("HOST:PORT")
      ->capture_default_str();
  app.add_option("--store", flags.store, "Where events are kept")
      ->type_name("sqlite:DIR")
      ->capture_default_str();
  app.add_option("--retention", flags.retention, "How long events are kept, e.g. 90s, 5m, 24h, 7d")
      ->type_name("DURATION")
      ->capture_default_str();
  app.add_option("--retention-bytes", flags.retention_bytes,
                 "Most room the store takes, e.g. 512MiB, 8GiB; the oldest events go first")
      ->type_name("SIZE")
      ->capture_default_str();
  AddTlsFlags(app, TlsRole::kServer, flags.tls);
  app.add_option("--log-level", command.log_level, "debug, info, warn or error")
      ->check(CLI::IsMember({"debug", "info", "warn", "error"}))
      ->capture_default_str();
}

absl::Status Check(const Flags& flags, CollectorOptions& options) {
  PODTAP_ASSIGN_OR_RETURN(options.listen, ParseHostPort("--listen", flags.listen));
  PODTAP_ASSIGN_OR_RETURN(options.tls,
                          OpenTlsFiles(TlsRole::kServer, flags.tls, "--listen", options.listen));
  if (!flags.admin_listen.empty()) {
    PODTAP_ASSIGN_OR_RETURN(options.admin_listen,
                            ParseHostPort("--admin-listen", flags.admin_listen));
    // --insecure has no meaning with TLS, and the admin port holds nothing that TLS is there for.
    PODTAP_RETURN_IF_ERROR(CheckPlainText("--admin-listen", *options.admin_listen,
                                          flags.tls.insecure || options.tls != nullptr));
  }
  constexpr std::string_view kScheme = "sqlite:";
  if (flags.store.compare(0, kScheme.size(), kScheme) != 0 ||
      flags.store.size() == kScheme.size()) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--store: \"%s\" is not sqlite:DIR", SafeText(flags.store, 200)));
  }
  options.store.directory = flags.store.substr(kScheme.size());
  PODTAP_ASSIGN_OR_RETURN(options.store.retention_ns,
                          ParseDurationNs("--retention", flags.retention));
  PODTAP_ASSIGN_OR_RETURN(options.store.retention_bytes,
                          ParseSizeBytes("--retention-bytes", flags.retention_bytes));
  if (options.store.retention_bytes < kMinRetentionBytes) {
    return absl::InvalidArgumentError(absl::StrFormat(
        "--retention-bytes: \"%s\" is less than 16MiB", SafeText(flags.retention_bytes, 100)));
  }
  return absl::OkStatus();
}

}  // namespace

std::variant<CollectorCommand, int> ParseCollectorCommand(int argc, const char* const* argv) {
  CommandLine command_line("Takes events from agents, stores them and answers queries.",
                           "podtap-collector");
  Flags flags;
  CollectorCommand command;
  AddFlags(command_line.app(), flags, command);
  if (const std::optional<int> exit_code = command_line.Parse(argc, argv)) {
    return *exit_code;
  }
  if (const absl::Status status = Check(flags, command.options); !status.ok()) {
    return command_line.UsageError(std::string(status.message()));
  }
  return command;
}

}  // namespace podtap
