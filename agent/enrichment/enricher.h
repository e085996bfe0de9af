// Names both ends of an exchange, removes what is private, and passes it on as an event.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/enrichment/address_book.h"
#include "agent/enrichment/event.h"
#include "agent/enrichment/name_hold.h"
#include "agent/enrichment/redaction.h"
#include "agent/enrichment/tap_directory.h"
#include "agent/pairing/exchange.h"
#include "common/clock.h"
#include "common/counter.h"

namespace podtap::enrichment {

// Which reports are wanted: of the client's tap, of the server's, or both.
// What stays in a pod has one report, of both: it is always wanted.
enum class ReporterFilter : uint8_t { kBoth, kClient, kServer };

// Which exchanges are wanted. Those of pods that are not watched never are.
struct TrafficSelection {
  // Ports of servers, as the tapped pod sees them; all when empty.
  std::vector<uint16_t> include_ports;
  std::vector<uint16_t> exclude_ports;
  // Leave out what the kubelet asks to see whether a pod is well.
  bool exclude_probes = false;
  // Not all pods are watched: while a tap's pod is not known, nobody can tell whether it is.
  bool only_known_pods = false;
};

struct EnricherOptions {
  ReporterFilter reporters = ReporterFilter::kBoth;
  TrafficSelection traffic;
  // Header fields that may leave; see HeaderAllowList.
  std::vector<std::string> allowed_headers = HeaderAllowList::Default();
  NameHoldLimits hold;
};

// exchanges = events + those excluded (by_reporters, by_port, probes, by_pod, unnamed)
//             + tap_unknown + held.
struct EnricherCounters {
  uint64_t exchanges = 0;
  uint64_t events = 0;
  // Left out because reports of that side are not wanted.
  uint64_t excluded_by_reporters = 0;
  // Left out by TrafficSelection: for the server's port; as probes; because the tap's pod is not
  // watched; because its pod did not become known.
  uint64_t excluded_by_port = 0;
  uint64_t excluded_probes = 0;
  uint64_t excluded_by_pod = 0;
  uint64_t excluded_unnamed = 0;
  // Lost: the tap was closed too long ago to say whose it was.
  uint64_t tap_unknown = 0;
  // Wait for the name of an end now, and their bytes.
  uint64_t held = 0;
  uint64_t held_bytes = 0;
  // Events that waited: until the name came; for as long as they may; until others needed the room.
  uint64_t hold_named = 0;
  uint64_t hold_expired = 0;
  uint64_t hold_full = 0;
  // Events of which a bound cut some text.
  uint64_t texts_cut = 0;

  template <typename Visitor>
  void Visit(Visitor&& visit) const {
    visit(CounterValue{.name = "exchanges", .count = exchanges});
    visit(CounterValue{.name = "events", .count = events});
    visit(CounterValue{.name = "excluded_by_reporters", .count = excluded_by_reporters});
    visit(CounterValue{.name = "excluded_by_port", .count = excluded_by_port});
    visit(CounterValue{.name = "excluded_probes", .count = excluded_probes});
    visit(CounterValue{.name = "excluded_by_pod", .count = excluded_by_pod});
    visit(CounterValue{.name = "excluded_unnamed", .count = excluded_unnamed});
    visit(CounterValue{.name = "tap_unknown", .count = tap_unknown, .is_loss = true});
    visit(CounterValue{.name = "held", .count = held, .bytes = held_bytes});
    visit(CounterValue{.name = "hold_named", .count = hold_named});
    visit(CounterValue{.name = "hold_expired", .count = hold_expired});
    visit(CounterValue{.name = "hold_full", .count = hold_full});
    visit(CounterValue{.name = "texts_cut", .count = texts_cut});
  }
};

// Belongs to the pipeline's thread.
//
// The source of an event is always the client. The tapped end is named by its tap; on loopback both
// are. The far end is named, in this order, as the node itself, by the address book, or not at all.
// An exchange one end of which belongs to a tap whose pod is not known yet waits for it, and those
// behind it on the same connection with it; others pass. What has waited for long enough goes
// without the name.
class Enricher : public pairing::ExchangeSink {
 public:
  // All are borrowed and outlive the enricher; events go to every sink, in order.
  Enricher(const EnricherOptions& options, const Clock& clock, TapReader& taps, AddressBook& book,
           std::vector<EventSink*> sinks);

  void OnExchange(pairing::Exchange exchange) override;
  // Passes on what waits no longer. Call many times a second.
  void OnTick(int64_t now_ns);
  // Passes on all that waits.
  void Finish();

  const EnricherCounters& counters() const { return counters_; }

 private:
  // What is known of both ends.
  struct Ends {
    std::shared_ptr<const TapInfo> tap;
    Endpoint local;
    Endpoint remote;
    // More may be known soon.
    bool are_awaited = false;
  };

  bool IsExcluded(const pairing::Exchange& exchange);
  Reporter ReporterOf(const pairing::Exchange& exchange, const TapInfo& tap) const;
  // Whether the exchange is not wanted, whoever's it is; then it is counted.
  bool LeaveOut(const pairing::Exchange& exchange);
  // Whether it is not wanted because of its pod; then it is counted.
  bool LeaveOut(const Ends& ends);
  // nullopt when the tap is not known any more.
  std::optional<Ends> FindEnds(const pairing::Exchange& exchange);
  // Goes through all that waits, in order: what is named or due by `now_ns` goes.
  void Release(int64_t now_ns);
  // Passes on what has waited, and counts it as that unless it has its name.
  void LetGo(pairing::Exchange exchange, std::optional<Ends> ends, uint64_t& unnamed);
  void UpdateHeld();
  void PassOn(pairing::Exchange exchange, Ends ends);
  void FillEnds(const pairing::Exchange& exchange, Ends ends);
  void FillTimes(const pairing::Exchange& exchange);
  void FillTarget(const http::RequestHead& head);
  void FillRequest(const pairing::Exchange& exchange);
  void FillResponse(const pairing::ExchangeResponse& response);
  void FillTrace(const http::HeaderMap& headers);
  // The value of the first field of this name, whether or not it is on the allow-list.
  void FillFromHeader(const http::HeaderMap& from, const Headers& safe, std::string_view lower_name,
                      std::string& out);
  // Copies the allow-listed fields.
  void FillHeaders(const http::HeaderMap& from, Headers& to);
  // Sets `is_awaited` when more may be known soon.
  Endpoint NameFarEnd(const IpAddress& ip, uint16_t port, int64_t at_ns, bool& is_awaited);

  const ReporterFilter reporters_;
  const TrafficSelection traffic_;
  const HeaderAllowList allowed_;
  const Clock& clock_;
  TapReader& taps_;
  AddressBook& book_;
  const std::vector<EventSink*> sinks_;
  EnricherCounters counters_;
  NameHold hold_;
  // Of the directory, when all that waits was last looked at.
  uint64_t released_version_ = 0;
  // Reused, so that its strings keep their memory.
  Event event_;
  // Some text of event_ was cut.
  bool cut_ = false;
  // Wall clock less monotonic clock; follows the clocks where they differ by more than jitter.
  int64_t wall_offset_ns_ = 0;
};

}  // namespace podtap::enrichment
