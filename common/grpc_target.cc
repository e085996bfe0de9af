#include "common/grpc_target.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "common/ip_address.h"

namespace podtap {

std::string HostPort::ToString() const {
  if (host.find(':') != std::string::npos) {
    return absl::StrFormat("[%s]:%d", host, port);
  }
  return absl::StrFormat("%s:%d", host, port);
}

absl::StatusOr<HostPort> ParseHostPort(const std::string& flag, const std::string& text) {
  const auto error = [&](const char* why) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%s: \"%s\" is not HOST:PORT (%s)", flag, text, why));
  };
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) {
    return error("no port");
  }
  HostPort result;
  result.host = text.substr(0, colon);
  const std::string port_text = text.substr(colon + 1);
  uint32_t port = 0;
  // SimpleAtoi() alone would also take spaces and a sign.
  if (port_text.find_first_not_of("0123456789") != std::string::npos ||
      !absl::SimpleAtoi(port_text, &port) || port > 65535) {
    return error("the port is not a number up to 65535");
  }
  result.port = static_cast<uint16_t>(port);
  if (result.host.size() >= 2 && result.host.front() == '[' && result.host.back() == ']') {
    result.host = result.host.substr(1, result.host.size() - 2);
    if (!IpAddress::Parse(result.host)) {
      return error("the brackets hold no address");
    }
  } else if (result.host.find(':') != std::string::npos) {
    return error("write an IPv6 address in brackets");
  }
  if (result.host.empty()) {
    return error("no host");
  }
  const std::optional<IpAddress> ip = IpAddress::Parse(result.host);
  result.is_loopback = result.host == "localhost" ||
                       (ip && ip->is_v4() && ip->bytes()[12] == 127) ||
                       (ip && *ip == *IpAddress::Parse("::1"));
  return result;
}

absl::Status CheckPlainText(const std::string& flag, const HostPort& address, bool insecure) {
  if (address.is_loopback || insecure) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrFormat("%s: %s is not a loopback address and the connection is plain text; give "
                      "--insecure to allow that",
                      flag, address.ToString()));
}

}  // namespace podtap
