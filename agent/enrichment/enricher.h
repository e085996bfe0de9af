// Names both ends of an exchange, removes what is private, and passes it on as an event.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/enrichment/address_book.h"
#include "agent/enrichment/event.h"
#include "agent/enrichment/redaction.h"
#include "agent/enrichment/tap_directory.h"
#include "agent/pairing/exchange.h"
#include "common/clock.h"
#include "common/counter.h"

namespace podtap::enrichment {

// Which reports are wanted: of the client's tap, of the server's, or both.
enum class ReporterFilter : uint8_t { kBoth, kClient, kServer };

struct EnricherOptions {
  ReporterFilter reporters = ReporterFilter::kBoth;
  // Header fields that may leave; see HeaderAllowList.
  std::vector<std::string> allowed_headers = HeaderAllowList::Default();
};

// exchanges = events + excluded_by_reporters + tap_unknown.
struct EnricherCounters {
  uint64_t exchanges = 0;
  uint64_t events = 0;
  // Left out because reports of that side are not wanted.
  uint64_t excluded_by_reporters = 0;
  // Lost: the tap was closed too long ago to say whose it was.
  uint64_t tap_unknown = 0;
  // Events of which a bound cut some text.
  uint64_t texts_cut = 0;

  template <typename Visitor>
  void Visit(Visitor&& visit) const {
    visit(CounterValue{.name = "exchanges", .count = exchanges});
    visit(CounterValue{.name = "events", .count = events});
    visit(CounterValue{.name = "excluded_by_reporters", .count = excluded_by_reporters});
    visit(CounterValue{.name = "tap_unknown", .count = tap_unknown, .is_loss = true});
    visit(CounterValue{.name = "texts_cut", .count = texts_cut});
  }
};

// Belongs to the pipeline's thread.
//
// The source of an event is always the client. The tapped end is named by its tap. The far end is
// named, in this order, as the node itself, by the address book, or not at all.
class Enricher : public pairing::ExchangeSink {
 public:
  // All are borrowed and outlive the enricher; events go to every sink, in order.
  Enricher(const EnricherOptions& options, const Clock& clock, TapReader& taps, AddressBook& book,
           std::vector<EventSink*> sinks);

  void OnExchange(pairing::Exchange exchange) override;

  const EnricherCounters& counters() const { return counters_; }

 private:
  bool IsExcluded(bool pod_is_client) const;
  void FillEnds(const pairing::Exchange& exchange, const TapTable::Entry& tap);
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
  Endpoint NameFarEnd(const IpAddress& ip, uint16_t port, int64_t at_ns);

  const ReporterFilter reporters_;
  const HeaderAllowList allowed_;
  const Clock& clock_;
  TapReader& taps_;
  AddressBook& book_;
  const std::vector<EventSink*> sinks_;
  EnricherCounters counters_;
  // Reused, so that its strings keep their memory.
  Event event_;
  // Some text of event_ was cut.
  bool cut_ = false;
  // Wall clock less monotonic clock; follows the clocks where they differ by more than jitter.
  int64_t wall_offset_ns_ = 0;
};

}  // namespace podtap::enrichment
