#include "agent/doctor.h"

#include <net/if.h>

#include <chrono>
#include <memory>

#include "absl/strings/str_format.h"
#include "agent/capture/capture_program.h"
#include "agent/capture/surroundings.h"
#include "agent/capture/tap_set.h"
#include "agent/exporter/collector_stream.h"
#include "common/admin_server.h"
#include "common/command_line.h"
#include "common/tls_refusal.h"

namespace podtap {
namespace {

// A name server that does not answer costs some seconds before a name of the hosts file is used.
constexpr std::chrono::seconds kConnectTime{6};
constexpr std::chrono::milliseconds kExplainTime{1'000};

std::string Text(const absl::Status& status) { return std::string(status.message()); }

void CheckKernel(const capture::Surroundings& surroundings, Findings& findings) {
  const std::pair version(surroundings.kernel_major, surroundings.kernel_minor);
  const std::string text = absl::StrFormat("Linux %d.%d", version.first, version.second);
  if (!surroundings.has_ring_buffer) {
    findings.Fail("kernel", text + " has no BPF ring buffer; podtap needs 5.15 or newer");
  } else if (version < std::pair(5, 15)) {
    findings.Warn("kernel", text + "; podtap is made for 5.15 or newer");
  } else {
    findings.Ok("kernel", text);
  }
}

// A tap on loopback: whether sockets, dispatchers and filters may be made.
void CheckTap(const capture::CaptureProgram& program, Findings& findings) {
  capture::TapSet taps(program, [](capture::TapId) {});
  const absl::StatusOr<capture::TapId> id = taps.Reserve();
  const absl::Status status =
      id.ok() ? taps.Open(*id, ::if_nametoindex("lo"), capture::Polarity::kHostSide) : id.status();
  if (status.ok()) {
    findings.Ok("tap", "one on lo was opened and closed");
  } else {
    findings.Fail("tap", Text(status));
  }
}

void CheckCapture(const AgentOptions& options, Findings& findings) {
  const capture::Surroundings surroundings = capture::LookAround();
  CheckKernel(surroundings, findings);
  const bool enters_pods = options.inside.enters_pods();
  if (const absl::Status status = capture::CheckCapabilities(surroundings, enters_pods);
      !status.ok()) {
    findings.Fail("capabilities", Text(status));
    return;
  }
  findings.Ok("capabilities", enters_pods ? "CAP_BPF, CAP_NET_RAW and CAP_SYS_ADMIN are there"
                                          : "CAP_BPF and CAP_NET_RAW are there");
  const absl::StatusOr<capture::CaptureProgram> program =
      capture::CaptureProgram::Load({.capture_bytes = options.capture_bytes,
                                     .rings = options.rings,
                                     .ring_bytes = options.ring_bytes});
  if (!program.ok()) {
    findings.Fail("program", Text(program.status()));
    return;
  }
  findings.Ok("program", absl::StrFormat("the kernel takes it; rings: %d, of %d bytes each",
                                         options.rings, options.ring_bytes));
  CheckTap(*program, findings);
}

void CheckCollector(const AgentOptions& options, Findings& findings) {
  if (!options.collector) {
    findings.Ok("collector", "none is configured (--collector)");
    return;
  }
  const std::string name = options.collector->ToString();
  const auto channel = exporter::CreateCollectorChannel(*options.collector, options.tls.get());
  if (channel->WaitForConnected(std::chrono::system_clock::now() + kConnectTime)) {
    findings.Ok("collector", name + " takes connections");
    return;
  }
  const std::shared_ptr<const TlsMaterial> material =
      options.tls != nullptr ? options.tls->current() : nullptr;
  const std::string refusal = ExplainRefusal(*options.collector, material.get(), kExplainTime);
  if (refusal.empty()) {
    findings.Warn("collector", name +
                                   " can't be reached: is it running, and is the address right? "
                                   "The agent waits for it, and its queue is bounded");
  } else {
    findings.Fail("collector", absl::StrFormat("%s: %s", name, refusal));
  }
}

void CheckAdminPort(const AgentOptions& options, Findings& findings) {
  if (!options.admin_listen) {
    return;
  }
  if (const auto server = AdminServer::Listen(*options.admin_listen); server.ok()) {
    findings.Ok("admin port", options.admin_listen->ToString() + " is free");
  } else {
    findings.Warn("admin port", Text(server.status()) + "; an agent that runs has it");
  }
}

}  // namespace

int RunDoctor(const AgentOptions& options, std::ostream& out) {
  Findings findings(out);
  CheckCapture(options, findings);
  CheckPods(options, findings);
  CheckCollector(options, findings);
  CheckAdminPort(options, findings);
  return findings.failed() || !out.good() ? kExitFailed : kExitDone;
}

}  // namespace podtap
