#include "common/event_text.h"

#include <google/protobuf/util/json_util.h>

#include <cstdint>
#include <string_view>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "common/text.h"

namespace podtap {
namespace {

constexpr const char* kReset = "\x1b[0m";
constexpr const char* kDim = "\x1b[2m";
constexpr const char* kBold = "\x1b[1m";
constexpr const char* kRed = "\x1b[31m";
constexpr const char* kGreen = "\x1b[32m";
constexpr const char* kYellow = "\x1b[33m";
constexpr const char* kCyan = "\x1b[36m";

std::string Paint(bool colour, const char* code, const std::string& text) {
  return colour ? std::string(code) + text + kReset : text;
}

// A value as one column: no space, never empty.
std::string Column(std::string_view text) {
  std::string safe = SafeTarget(text);
  return safe.empty() ? "-" : safe;
}

std::string TimeText(const google::protobuf::Timestamp& time) {
  const absl::Time parsed = absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
  return absl::FormatTime("%H:%M:%E3S", parsed, absl::LocalTimeZone());
}

std::string EndpointText(const v1::Endpoint& endpoint) {
  if (endpoint.pod_name().empty()) {
    return Column(endpoint.ip());
  }
  if (endpoint.namespace_().empty()) {
    return Column(endpoint.pod_name());
  }
  return Column(endpoint.namespace_()) + "/" + Column(endpoint.pod_name());
}

std::string ServerText(const v1::Endpoint& endpoint) {
  std::string name = EndpointText(endpoint);
  if (name.find(':') != std::string::npos) {
    name = "[" + name + "]";
  }
  return name + ":" + std::to_string(endpoint.port());
}

std::string TargetText(const v1::HttpRequest& request) {
  // CONNECT names its target by the authority alone.
  std::string target = request.path().empty() ? request.host() : request.path();
  if (!request.query().empty()) {
    target += "?" + request.query();
  }
  return Column(target);
}

std::string StatusText(const v1::HttpEvent& event, bool colour) {
  if (!event.has_response()) {
    return Paint(colour, kRed, "-");
  }
  const uint32_t status = event.response().status_code();
  const char* code = kRed;
  if (status < 300) {
    code = kGreen;
  } else if (status < 400) {
    code = kCyan;
  } else if (status < 500) {
    code = kYellow;
  }
  return Paint(colour, code, std::to_string(status));
}

std::string DurationText(const google::protobuf::Duration& duration) {
  const double seconds = static_cast<double>(duration.seconds()) + duration.nanos() / 1e9;
  if (seconds < 1e-3) {
    return absl::StrFormat("%.0fus", seconds * 1e6);
  }
  if (seconds < 1) {
    return absl::StrFormat("%.1fms", seconds * 1e3);
  }
  return absl::StrFormat("%.2fs", seconds);
}

std::string SizeText(const v1::HttpEvent& event) {
  if (!event.has_response()) {
    return "-";
  }
  const auto bytes = static_cast<double>(event.response().body_size());
  if (bytes < 1e3) {
    return absl::StrFormat("%.0fB", bytes);
  }
  if (bytes < 1e6) {
    return absl::StrFormat("%.1fkB", bytes / 1e3);
  }
  if (bytes < 1e9) {
    return absl::StrFormat("%.1fMB", bytes / 1e6);
  }
  return absl::StrFormat("%.1fGB", bytes / 1e9);
}

// The value's name without its enum's prefix, in lower case; the number when this build has no
// name for it.
std::string EnumText(const std::string& name, std::string_view prefix, int number) {
  if (name.size() <= prefix.size()) {
    return std::to_string(number);
  }
  return absl::AsciiStrToLower(name.substr(prefix.size()));
}

std::string ReporterText(v1::Reporter reporter) {
  return EnumText(v1::Reporter_Name(reporter), "REPORTER_", reporter);
}

std::string FlagsText(const v1::HttpEvent& event) {
  std::string text = "[";
  for (const int number : event.flags()) {
    const auto flag = static_cast<v1::ExchangeFlag>(number);
    text += text.size() > 1 ? " " : "";
    text += EnumText(v1::ExchangeFlag_Name(flag), "EXCHANGE_FLAG_", number);
  }
  return text + "]";
}

}  // namespace

std::string CompactLine(const v1::HttpEvent& event, bool colour) {
  std::string line = Paint(colour, kDim, TimeText(event.start_time()));
  line += " " + EndpointText(event.source());
  line += " -> " + ServerText(event.destination());
  line += " " + Paint(colour, kBold, Column(event.request().method()));
  line += " " + TargetText(event.request());
  line += " " + StatusText(event, colour);
  line += " " + DurationText(event.duration());
  line += " " + SizeText(event);
  line += " " + Paint(colour, kDim, ReporterText(event.reporter()));
  if (event.outcome() != v1::OUTCOME_COMPLETE) {
    const std::string outcome =
        EnumText(v1::Outcome_Name(event.outcome()), "OUTCOME_", event.outcome());
    line += " " + Paint(colour, kRed, outcome);
  }
  if (event.flags_size() > 0) {
    line += " " + Paint(colour, kYellow, FlagsText(event));
  }
  return line;
}

std::string JsonLine(const v1::HttpEvent& event) {
  std::string json;
  // Fails only on a broken message, e.g. a Timestamp out of its range.
  if (!google::protobuf::util::MessageToJsonString(event, &json).ok()) {
    return "{}";
  }
  return json;
}

}  // namespace podtap
