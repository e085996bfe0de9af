// Taps, clocks and exchanges for the tests of enrichment and of what comes after it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/enrichment/event.h"
#include "agent/pairing/exchange.h"
#include "common/clock.h"
#include "common/ip_address.h"

namespace podtap::enrichment {

class FakeClock : public Clock {
 public:
  int64_t MonotonicNs() const override { return monotonic_ns; }
  int64_t WallNs() const override { return wall_ns; }

  int64_t monotonic_ns = 1'000;
  int64_t wall_ns = int64_t{1'700'000'000} * 1'000'000'000;
};

inline IpAddress Ip(std::string_view text) { return *IpAddress::Parse(text); }

inline std::shared_ptr<const TapInfo> MakeTap(uint32_t slot, const std::string& pod,
                                              CaptureMode mode = CaptureMode::kHostVeth) {
  auto identity = std::make_shared<discovery::PodIdentity>();
  identity->namespace_name = "shop";
  identity->pod_name = pod;
  auto tap = std::make_shared<TapInfo>();
  tap->id = {.slot = slot, .generation = 1};
  tap->interface_index = 100 + slot;
  tap->interface_name = "veth" + std::to_string(slot);
  tap->mode = mode;
  tap->pod = std::move(identity);
  return tap;
}

using Fields = std::vector<std::pair<std::string, std::string>>;

// A header map as a parser makes it.
inline http::HeaderMap MakeHeaders(const Fields& fields) {
  std::string raw = "START\r\n";
  for (const auto& [name, value] : fields) {
    raw += name + ": " + value + "\r\n";
  }
  raw += "\r\n";
  http::HeaderMap headers(raw);
  uint32_t at = 7;
  for (const auto& [name, value] : fields) {
    const auto name_size = static_cast<uint32_t>(name.size());
    const auto value_size = static_cast<uint32_t>(value.size());
    headers.Add(at, name_size, at + name_size + 2, value_size);
    at += name_size + 2 + value_size + 2;
  }
  return headers;
}

// A complete exchange on the tap in slot 1, whose pod is the client: 10.0.0.1:40000 to 10.0.0.2:80,
// begun at 5,000 ns.
inline pairing::Exchange MakeExchange(const std::string& method = "GET",
                                      const std::string& target = "/",
                                      const Fields& request_fields = {},
                                      const Fields& response_fields = {}) {
  pairing::Exchange exchange;
  exchange.connection.tap = {.slot = 1, .generation = 1};
  exchange.connection.local = Ip("10.0.0.1");
  exchange.connection.local_port = 40000;
  exchange.connection.remote = Ip("10.0.0.2");
  exchange.connection.remote_port = 80;
  exchange.pod_is_client = true;
  exchange.connection_id = 7;
  exchange.exchange_index = 3;
  exchange.exchange_key = 0x0123456789abcdef;
  exchange.request.method = method;
  exchange.request.target = target;
  exchange.request.headers = MakeHeaders(request_fields);
  exchange.request.size = 100;
  exchange.request.start_ns = 5'000;
  exchange.request_end_ns = 6'000;
  exchange.request_body_size = 11;
  exchange.response.emplace();
  exchange.response->head.status_code = 200;
  exchange.response->head.headers = MakeHeaders(response_fields);
  exchange.response->head.size = 50;
  exchange.response->head.start_ns = 8'000;
  exchange.response->body_size = 22;
  exchange.end_ns = 9'000;
  return exchange;
}

// Keeps what it gets.
class EventCollector : public EventSink {
 public:
  void OnEvent(const Event& event) override { events.push_back(event); }
  std::vector<Event> events;
};

}  // namespace podtap::enrichment
