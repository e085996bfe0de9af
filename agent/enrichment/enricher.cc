#include "agent/enrichment/enricher.h"

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "agent/enrichment/trace_context.h"
#include "common/text.h"

namespace podtap::enrichment {
namespace {

// What reading two clocks one after the other may be off by.
constexpr int64_t kOffsetJitterNs = 10'000;

constexpr std::string_view kProbeUserAgent = "kube-probe/";
constexpr std::string_view kEventStream = "text/event-stream";

bool EqualsIgnoreCase(std::string_view a, std::string_view lower) {
  return a.size() == lower.size() &&
         std::equal(a.begin(), a.end(), lower.begin(), [](char x, char y) {
           return (x >= 'A' && x <= 'Z' ? static_cast<char>(x - 'A' + 'a') : x) == y;
         });
}

// By the first user agent that the request names.
bool IsProbe(const http::HeaderMap& headers) {
  for (size_t i = 0; i < headers.size(); ++i) {
    if (const http::HeaderField field = headers[i]; EqualsIgnoreCase(field.name, "user-agent")) {
      return field.value.starts_with(kProbeUserAgent);
    }
  }
  return false;
}

bool Holds(const std::vector<uint16_t>& ports, uint16_t port) {
  return std::find(ports.begin(), ports.end(), port) != ports.end();
}

bool IsEventStream(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (type.ends_with(' ')) {
    type.remove_suffix(1);
  }
  return EqualsIgnoreCase(type, kEventStream);
}

// Segments can arrive in an order that makes a later byte older.
uint64_t Since(int64_t start_ns, int64_t time_ns) {
  return static_cast<uint64_t>(std::max<int64_t>(time_ns - start_ns, 0));
}

}  // namespace

Enricher::Enricher(const EnricherOptions& options, const Clock& clock, TapReader& taps,
                   AddressBook& book, std::vector<EventSink*> sinks)
    : reporters_(options.reporters),
      traffic_(options.traffic),
      allowed_(options.allowed_headers),
      clock_(clock),
      taps_(taps),
      book_(book),
      sinks_(std::move(sinks)),
      hold_(options.hold) {}

bool Enricher::IsExcluded(const pairing::Exchange& exchange) {
  if (reporters_ == ReporterFilter::kBoth ||
      exchange.pod_is_client == (reporters_ == ReporterFilter::kClient)) {
    return false;
  }
  const TapTable::Entry* tap = taps_.Find(exchange.connection.tap);
  return tap == nullptr || !IsLoopback(*tap->tap);
}

Reporter Enricher::ReporterOf(const pairing::Exchange& exchange, const TapInfo& tap) const {
  // Of a pod that is both, the server reports, unless only clients do.
  const bool is_client =
      IsLoopback(tap) ? reporters_ == ReporterFilter::kClient : exchange.pod_is_client;
  return is_client ? Reporter::kClient : Reporter::kServer;
}

bool Enricher::LeaveOut(const pairing::Exchange& exchange) {
  if (IsExcluded(exchange)) {
    ++counters_.excluded_by_reporters;
    return true;
  }
  const capture::ConnectionKey& key = exchange.connection;
  const uint16_t port = exchange.pod_is_client ? key.remote_port : key.local_port;
  if (Holds(traffic_.exclude_ports, port) ||
      (!traffic_.include_ports.empty() && !Holds(traffic_.include_ports, port))) {
    ++counters_.excluded_by_port;
    return true;
  }
  if (traffic_.exclude_probes && IsProbe(exchange.request.headers)) {
    ++counters_.excluded_probes;
    return true;
  }
  return false;
}

bool Enricher::LeaveOut(const Ends& ends) {
  if (ends.tap->is_excluded) {
    ++counters_.excluded_by_pod;
    return true;
  }
  if (traffic_.only_known_pods && ends.local.pod == nullptr) {
    ++counters_.excluded_unnamed;
    return true;
  }
  return false;
}

void Enricher::OnExchange(pairing::Exchange exchange) {
  ++counters_.exchanges;
  if (LeaveOut(exchange)) {
    return;
  }
  const bool has_waiting = !hold_.empty();
  if (has_waiting && taps_.Refresh() != released_version_) {
    Release(clock_.MonotonicNs());
  }
  std::optional<Ends> ends = FindEnds(exchange);
  if (!ends) {
    ++counters_.tap_unknown;
    return;
  }
  if (ends->are_awaited || (has_waiting && hold_.HasConnection(exchange.connection_id))) {
    hold_.Push(std::move(exchange), clock_.MonotonicNs());
    while (hold_.is_over()) {
      pairing::Exchange oldest = hold_.PopFront().exchange;
      std::optional<Ends> its_ends = FindEnds(oldest);
      LetGo(std::move(oldest), std::move(its_ends), counters_.hold_full);
    }
    UpdateHeld();
    return;
  }
  if (!LeaveOut(*ends)) {
    PassOn(std::move(exchange), *std::move(ends));
  }
}

void Enricher::OnTick(int64_t now_ns) {
  if (hold_.empty()) {
    return;
  }
  if (taps_.Refresh() != released_version_) {
    Release(now_ns);
    return;
  }
  // Nothing is known that was not: only the time has come, of the oldest first.
  while (!hold_.empty() && hold_.due_ns() <= now_ns) {
    pairing::Exchange oldest = hold_.PopFront().exchange;
    std::optional<Ends> ends = FindEnds(oldest);
    LetGo(std::move(oldest), std::move(ends), counters_.hold_expired);
  }
  UpdateHeld();
}

void Enricher::Finish() { Release(INT64_MAX); }

void Enricher::Release(int64_t now_ns) {
  released_version_ = taps_.Refresh();
  std::vector<NameHold::Held> waiting;
  absl::flat_hash_set<uint64_t> connections;
  while (!hold_.empty()) {
    NameHold::Held held = hold_.PopFront();
    const uint64_t connection = held.exchange.connection_id;
    std::optional<Ends> ends = FindEnds(held.exchange);
    const bool waits = (ends && ends->are_awaited) || connections.contains(connection);
    if (waits && now_ns < held.until_ns) {
      connections.insert(connection);
      waiting.push_back(std::move(held));
    } else {
      LetGo(std::move(held.exchange), std::move(ends), counters_.hold_expired);
    }
  }
  for (NameHold::Held& held : waiting) {
    hold_.PushAgain(std::move(held));
  }
  UpdateHeld();
}

void Enricher::LetGo(pairing::Exchange exchange, std::optional<Ends> ends, uint64_t& unnamed) {
  if (!ends) {
    ++counters_.tap_unknown;
    return;
  }
  if (LeaveOut(*ends)) {
    return;
  }
  const bool is_named = ends->local.pod != nullptr && !ends->are_awaited;
  ++(is_named ? counters_.hold_named : unnamed);
  PassOn(std::move(exchange), *std::move(ends));
}

void Enricher::UpdateHeld() {
  counters_.held = hold_.size();
  counters_.held_bytes = hold_.bytes();
}

std::optional<Enricher::Ends> Enricher::FindEnds(const pairing::Exchange& exchange) {
  const capture::ConnectionKey& key = exchange.connection;
  const TapTable::Entry* tap = taps_.Find(key.tap);
  if (tap == nullptr) {
    return std::nullopt;
  }
  Ends ends{.tap = tap->tap,
            .local = {.ip = key.local, .port = key.local_port},
            .are_awaited = IsAwaitingPod(*tap)};
  if (tap->tap->pod != nullptr) {
    ends.local.kind = EndpointKind::kPod;
    ends.local.metadata_state = tap->retired ? MetadataState::kStale : MetadataState::kResolved;
    ends.local.pod = tap->tap->pod;
  }
  if (IsLoopback(*tap->tap)) {
    ends.remote = ends.local;
    ends.remote.ip = key.remote;
    ends.remote.port = key.remote_port;
    return ends;
  }
  if (tap->tap->is_excluded) {
    ends.are_awaited = false;
    return ends;
  }
  ends.remote =
      NameFarEnd(key.remote, key.remote_port, exchange.request.start_ns, ends.are_awaited);
  return ends;
}

void Enricher::PassOn(pairing::Exchange exchange, Ends ends) {
  cut_ = false;
  event_.exchange_key = exchange.exchange_key;
  event_.connection_id = exchange.connection_id;
  event_.exchange_index = exchange.exchange_index;
  event_.outcome = exchange.outcome;
  event_.flags = exchange.flags;
  event_.informational_status_codes = std::move(exchange.informational_status_codes);
  event_.upgrade_protocol.clear();
  cut_ |= !AppendSafeHeaderValue(event_.upgrade_protocol, "upgrade", exchange.upgrade_protocol);
  FillEnds(exchange, std::move(ends));
  FillTimes(exchange);
  FillRequest(exchange);
  event_.is_event_stream = false;
  if (exchange.response) {
    FillResponse(*exchange.response);
  } else {
    event_.response.reset();
  }
  counters_.texts_cut += cut_ ? 1 : 0;
  ++counters_.events;
  for (EventSink* sink : sinks_) {
    sink->OnEvent(event_);
  }
}

void Enricher::FillEnds(const pairing::Exchange& exchange, Ends ends) {
  event_.reporter = ReporterOf(exchange, *ends.tap);
  event_.tap = std::move(ends.tap);
  event_.source = std::move(exchange.pod_is_client ? ends.local : ends.remote);
  event_.destination = std::move(exchange.pod_is_client ? ends.remote : ends.local);
}

Endpoint Enricher::NameFarEnd(const IpAddress& ip, uint16_t port, int64_t at_ns, bool& is_awaited) {
  Endpoint end{.ip = ip, .port = port};
  if (taps_.IsNodeAddress(ip)) {
    end.kind = EndpointKind::kNode;
    end.metadata_state = MetadataState::kResolved;
    return end;
  }
  const AddressOwner owner = book_.Find(ip, at_ns);
  end.metadata_state = owner.state;
  is_awaited |= owner.is_awaited;
  if (owner.pod != nullptr) {
    end.kind = EndpointKind::kPod;
    end.pod = owner.pod;
  }
  return end;
}

void Enricher::FillTimes(const pairing::Exchange& exchange) {
  const int64_t start_ns = exchange.request.start_ns;
  // Two clocks are never read at one instant. Taking every offset as it comes would shuffle
  // requests that lie close together, such as those of one segment.
  const int64_t offset_ns = clock_.WallNs() - clock_.MonotonicNs();
  if (std::abs(offset_ns - wall_offset_ns_) > kOffsetJitterNs) {
    wall_offset_ns_ = offset_ns;
  }
  event_.start_unix_ns = start_ns + wall_offset_ns_;
  event_.request_end_ns = Since(start_ns, exchange.request_end_ns);
  event_.response_start_ns =
      exchange.response ? Since(start_ns, exchange.response->head.start_ns) : 0;
  event_.end_ns = Since(start_ns, exchange.end_ns);
}

void Enricher::FillTarget(const http::RequestHead& head) {
  EventRequest& request = event_.request;
  request.method.clear();
  request.path.clear();
  request.query.clear();
  request.host.clear();
  cut_ |= !AppendSafeTarget(request.method, head.method, kMaxMethodBytes);
  const TargetParts parts = SplitTarget(head.method, head.target);
  cut_ |= !AppendSafePath(request.path, parts.path);
  cut_ |= !AppendSafeQuery(request.query, parts.query);
  // RFC 9112 section 3.2.2: the absolute form wins over the Host header. An authority form yields
  // to it, since both are the same where the client is sound.
  if (head.method != "CONNECT") {
    cut_ |= !AppendSafeAuthority(request.host, parts.authority);
  }
}

void Enricher::FillRequest(const pairing::Exchange& exchange) {
  const http::RequestHead& head = exchange.request;
  EventRequest& request = event_.request;
  FillTarget(head);
  request.protocol_version = head.minor_version == 0 ? "1.0" : "1.1";
  request.header_size = head.size;
  request.body_size = exchange.request_body_size;
  FillHeaders(head.headers, request.headers);
  if (request.host.empty()) {
    FillFromHeader(head.headers, request.headers, "host", request.host);
  }
  if (request.host.empty() && head.method == "CONNECT") {
    cut_ |= !AppendSafeAuthority(request.host, head.target);
  }
  FillFromHeader(head.headers, request.headers, "user-agent", request.user_agent);
  FillFromHeader(head.headers, request.headers, "content-type", request.content_type);
  event_.is_probe = IsProbe(head.headers);
  FillTrace(head.headers);
}

void Enricher::FillTrace(const http::HeaderMap& headers) {
  event_.trace_id.clear();
  event_.span_id.clear();
  bool found = false;
  for (size_t i = 0; i < headers.size(); ++i) {
    const http::HeaderField field = headers[i];
    if (!EqualsIgnoreCase(field.name, "traceparent")) {
      continue;
    }
    // More than one names no trace.
    const std::optional<TraceContext> trace = found ? std::nullopt : ParseTraceparent(field.value);
    event_.trace_id.assign(trace ? trace->trace_id : std::string_view());
    event_.span_id.assign(trace ? trace->span_id : std::string_view());
    found = true;
  }
}

void Enricher::FillResponse(const pairing::ExchangeResponse& from) {
  if (!event_.response) {
    event_.response.emplace();
  }
  EventResponse& response = *event_.response;
  response.status_code = from.head.status_code;
  response.header_size = from.head.size;
  response.body_size = from.body_size;
  FillHeaders(from.head.headers, response.headers);
  FillFromHeader(from.head.headers, response.headers, "content-type", response.content_type);
  event_.is_event_stream = IsEventStream(response.content_type);
}

void Enricher::FillFromHeader(const http::HeaderMap& from, const Headers& safe,
                              std::string_view lower_name, std::string& out) {
  out.clear();
  // Usually it is on the allow-list, and its safe value is there already.
  for (const auto& [name, value] : safe) {
    if (name == lower_name) {
      out = value;
      return;
    }
  }
  for (size_t i = 0; i < from.size(); ++i) {
    const http::HeaderField field = from[i];
    if (EqualsIgnoreCase(field.name, lower_name)) {
      cut_ |= !AppendSafeHeaderValue(out, lower_name, field.value);
      return;
    }
  }
}

void Enricher::FillHeaders(const http::HeaderMap& from, Headers& to) {
  // A flood of one allowed field must not make a giant event.
  constexpr size_t kMaxHeaders = 32;
  size_t used = 0;
  for (size_t i = 0; i < from.size(); ++i) {
    const http::HeaderField field = from[i];
    const std::string_view name = allowed_.Match(field.name);
    if (name.empty()) {
      continue;
    }
    if (used == kMaxHeaders) {
      cut_ = true;
      break;
    }
    // Entries are overwritten in place, which keeps their memory.
    if (used == to.size()) {
      to.emplace_back();
    }
    to[used].first.assign(name);
    to[used].second.clear();
    cut_ |= !AppendSafeHeaderValue(to[used].second, name, field.value);
    ++used;
  }
  to.resize(used);
}

}  // namespace podtap::enrichment
