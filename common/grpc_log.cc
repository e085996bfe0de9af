#include "common/grpc_log.h"

#include <grpc/support/log.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <string_view>

#include "common/log.h"
#include "common/text.h"

namespace podtap {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::seconds kWarnInterval{10};

std::atomic<uint64_t> failed_handshakes{0};
std::atomic<HandshakeReport> handshake_report{HandshakeReport::kNone};

// gRPC 1.51 tells of a failed handshake in this form alone:
// "Handshake failed with fatal error SSL_ERROR_SSL: error:0A0000C7:SSL routines::REASON."
constexpr std::string_view kFailedHandshake = "Handshake failed with fatal error";

std::string ReasonOf(std::string_view message) {
  if (message.find("asn1 encoding routines") != std::string_view::npos) {
    // OpenSSL's words for it are of no use: "EVP lib".
    return "a certificate of another CA with the name of ours";
  }
  if (const size_t at = message.rfind("::"); at != std::string_view::npos) {
    message.remove_prefix(at + 2);
  }
  if (!message.empty() && message.back() == '.') {
    message.remove_suffix(1);
  }
  return SafeText(message, 200);
}

void WarnOfFailedHandshake(std::string_view message) {
  static std::mutex mutex;
  static steady_clock::time_point next_warning;
  static uint64_t unsaid = 0;
  const std::lock_guard lock(mutex);
  const steady_clock::time_point now = steady_clock::now();
  if (now < next_warning) {
    ++unsaid;
    return;
  }
  next_warning = now + kWarnInterval;
  PODTAP_LOG_WARN("a TLS handshake failed: {}; {} more since the last such line", ReasonOf(message),
                  unsaid);
  unsaid = 0;
}

void OnLine(gpr_log_func_args* line) {
  const std::string_view message = line->message;
  if (message.substr(0, kFailedHandshake.size()) == kFailedHandshake) {
    ++failed_handshakes;
    if (handshake_report == HandshakeReport::kWarn) {
      WarnOfFailedHandshake(message);
    }
  }
  PODTAP_LOG_DEBUG("grpc: {}", SafeText(message, 1000));
}

}  // namespace

void RouteGrpcLog(HandshakeReport report) {
  handshake_report = report;
  gpr_set_log_function(&OnLine);
}

uint64_t FailedTlsHandshakes() { return failed_handshakes; }

}  // namespace podtap
