// Value: an exchange with both ends named and everything private removed. Input of exporter; every
// string is valid UTF-8 and printable.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/discovery/pod.h"
#include "agent/pairing/exchange.h"
#include "common/ip_address.h"

namespace podtap::enrichment {

// Numbers are those of podtap.v1.EndpointKind.
enum class EndpointKind : uint8_t { kPod = 1, kNode = 3, kUnknown = 5 };
// Numbers are those of podtap.v1.MetadataState.
enum class MetadataState : uint8_t { kResolved = 1, kStale = 3, kUnresolved = 4 };
// Numbers are those of podtap.v1.Reporter.
enum class Reporter : uint8_t { kClient = 1, kServer = 2 };
// Numbers are those of podtap.v1.CaptureMode.
enum class CaptureMode : uint8_t {
  kHostVeth = 1,
  kPodNetns = 2,
  // What goes over it stays in the pod: both ends are the pod's, whatever their addresses.
  kPodLoopback = 3,
};

// Which of its pod's traffic a tap sees.
enum class Sides : uint8_t { kBoth, kFromPodOnly, kToPodOnly };

// One end.
struct Endpoint {
  IpAddress ip;
  uint16_t port = 0;
  EndpointKind kind = EndpointKind::kUnknown;
  MetadataState metadata_state = MetadataState::kUnresolved;
  // Set when kind is kPod.
  std::shared_ptr<const discovery::PodIdentity> pod;
};

// The interface an exchange was seen on. Immutable once published.
struct TapInfo {
  capture::TapId id;
  // As they are where the interface is: the host's namespace or the pod's.
  uint32_t interface_index = 0;
  std::string interface_name;
  CaptureMode mode = CaptureMode::kHostVeth;
  // When the tap was opened, monotonic.
  int64_t opened_ns = 0;
  // From when the interface appeared until the tap was in place, at the longest. Absent where the
  // interface was there before the agent could hear of it.
  std::optional<int64_t> attach_delay_ns;
  // Packets that had crossed the interface by then: from before the tap, and not seen by it.
  uint64_t packets_before = 0;
  // As found by what went by so far.
  Sides sides = Sides::kBoth;
  // Null as long as no pod is known behind the interface.
  std::shared_ptr<const discovery::PodIdentity> pod;
  // The pod is known and not watched: nothing that the tap has seen leaves.
  bool is_excluded = false;
};

inline bool IsLoopback(const TapInfo& tap) { return tap.mode == CaptureMode::kPodLoopback; }

using Headers = std::vector<std::pair<std::string, std::string>>;

struct EventRequest {
  std::string method;
  std::string path;
  std::string query;
  std::string host;
  // "1.0" or "1.1".
  const char* protocol_version = "1.1";
  std::string user_agent;
  std::string content_type;
  Headers headers;
  uint64_t header_size = 0;
  uint64_t body_size = 0;
};

struct EventResponse {
  uint16_t status_code = 0;
  std::string content_type;
  Headers headers;
  uint64_t header_size = 0;
  uint64_t body_size = 0;
};

struct Event {
  uint64_t exchange_key = 0;
  Reporter reporter = Reporter::kClient;
  // Never null.
  std::shared_ptr<const TapInfo> tap;
  uint64_t connection_id = 0;
  uint32_t exchange_index = 0;

  // Wall clock, nanoseconds since the Unix epoch.
  int64_t start_unix_ns = 0;
  // The other times, relative to the start.
  uint64_t request_end_ns = 0;
  uint64_t response_start_ns = 0;  // with a response only
  uint64_t end_ns = 0;

  Endpoint source;
  Endpoint destination;
  EventRequest request;
  std::optional<EventResponse> response;
  std::vector<uint16_t> informational_status_codes;

  std::string trace_id;
  std::string span_id;
  std::string upgrade_protocol;
  bool is_event_stream = false;
  bool is_probe = false;

  pairing::Outcome outcome = pairing::Outcome::kComplete;
  // pairing::Flag bits.
  uint32_t flags = 0;
};

// Takes events. Called on the threads of all shards; must not block.
class EventSink {
 public:
  virtual ~EventSink() = default;
  virtual void OnEvent(const Event& event) = 0;
};

}  // namespace podtap::enrichment
