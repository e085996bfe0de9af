// podtap-agent: flags, signals, exit codes.
#include <iostream>

#include "agent/agent.h"
#include "agent/doctor.h"
#include "common/command_line.h"
#include "common/file_limit.h"
#include "common/grpc_log.h"
#include "common/log.h"
#include "common/stop_signal.h"

int main(int argc, char** argv) {
  podtap::BlockStopSignals();
  auto parsed = podtap::ParseAgentOptions(argc, argv);
  if (const int* exit_code = std::get_if<int>(&parsed)) {
    return *exit_code;
  }
  podtap::AgentOptions options = std::get<podtap::AgentOptions>(std::move(parsed));
  if (!podtap::InitLog(options.log_level).ok()) {
    return podtap::kExitUsage;
  }
  podtap::RouteGrpcLog();
  podtap::RaiseFileLimit();
  if (options.doctor) {
    return podtap::RunDoctor(options, std::cout);
  }
  podtap::Agent agent(std::move(options));
  if (const absl::Status status = agent.Start(); !status.ok()) {
    return podtap::ReportFailure("podtap-agent", status);
  }
  podtap::WaitForStopSignal();
  const absl::Status status = agent.Stop();
  return status.ok() ? podtap::kExitDone : podtap::ReportFailure("podtap-agent", status);
}
