// podtap-collector: flags, signals, exit codes.
#include "collector/collector.h"
#include "collector/options.h"
#include "common/command_line.h"
#include "common/file_limit.h"
#include "common/grpc_log.h"
#include "common/log.h"
#include "common/stop_signal.h"
#include "common/tls_credentials.h"

int main(int argc, char** argv) {
  podtap::BlockStopSignals();
  auto parsed = podtap::ParseCollectorCommand(argc, argv);
  if (const int* exit_code = std::get_if<int>(&parsed)) {
    return *exit_code;
  }
  const auto& command = std::get<podtap::CollectorCommand>(parsed);
  if (const absl::Status status = podtap::InitLog(command.log_level); !status.ok()) {
    return podtap::ReportFailure("podtap-collector", status);
  }
  podtap::RouteGrpcLog(podtap::HandshakeReport::kWarn);
  podtap::RaiseFileLimit();
  const podtap::SystemClock clock;
  absl::StatusOr<std::unique_ptr<podtap::Collector>> collector =
      podtap::Collector::Start(command.options, &clock);
  if (!collector.ok()) {
    podtap::ReportFailure("podtap-collector", collector.status());
    return podtap::kExitFailed;
  }
  PODTAP_LOG_INFO("podtap-collector {}: store in {}", PODTAP_VERSION,
                  command.options.store.directory);
  PODTAP_LOG_INFO("listening on {}, {}", (*collector)->address().ToString(),
                  podtap::ProtectionOf(command.options.tls.get()));
  if (const podtap::HostPort* admin = (*collector)->admin_address()) {
    PODTAP_LOG_INFO("probes and metrics on {}", admin->ToString());
  }
  podtap::WaitForStopSignal();
  PODTAP_LOG_INFO("stopping");
  (*collector)->Stop();
  return podtap::kExitDone;
}
