// Any exchange as an event: nothing in it is hostile to JSON, protobuf or a terminal, no secret is
// in it, and the collector takes the agent's batch as it is and gives back what the agent printed.
//
// Input: a byte of options, numbers, then texts with marks: method, target, upgrade, and header
// fields by name and value.
#include <google/protobuf/util/message_differencer.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "agent/enrichment/enricher.h"
#include "agent/exporter/batch_builder.h"
#include "agent/exporter/event_encoder.h"
#include "collector/ingest/batch_decoder.h"
#include "common/status.h"
#include "tests/fuzz/event_checks.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/text_checks.h"
#include "tests/unit/enrichment/exchange_builder.h"

namespace podtap::exporter {
namespace {

using enrichment::Fields;
using fuzz::HasCanary;
using fuzz::Input;
using fuzz::kCanary;

constexpr uint64_t kEpoch = 0x00c0ffee00c0ffee;

// Planted whatever the input is.
const Fields kSecretFields = {
    {"Authorization", "Bearer p1ant3d"},
    {"COOKIE", "a=p1ant3d"},
    {"X-Api-Key", "p1ant3d"},
    {"p1ant3d", "x"},
    {"X-Not-Listed", "p1ant3d"},
    {"Accept", "x\r\n p1ant3d"},
    {"Referer", "http://u:p1ant3d@h/"},
    {"Upgrade", "x\r\n p1ant3d"},
};

struct Bench {
  Bench() {
    directory.Publish(enrichment::MakeTap(1, "web\xff\x1b[31m \n"));
    for (const char* name : {"referer", "cookie", "x-api-key", "authorization"}) {
      options.allowed_headers.push_back(name);
    }
  }

  enrichment::TapDirectory directory;
  enrichment::TapReader taps{directory};
  enrichment::AddressBook book{directory};
  enrichment::FakeClock clock;
  enrichment::EventCollector sink;
  enrichment::EnricherOptions options;
};

pairing::Exchange Read(Input input) {
  const uint8_t options = input.Byte();
  const uint16_t status = input.Short() % 1000;
  const uint16_t times = input.Short();
  const auto flags = static_cast<uint16_t>(input.Short() & 0x3fe);
  const std::string method(input.Text());
  const std::string target(input.Text());
  const std::string upgrade(input.Text());
  Fields request = kSecretFields;
  Fields response = kSecretFields;
  for (int i = 0; !input.empty() && i < 64; ++i) {
    const std::string name(input.Text());
    (i % 4 == 3 ? response : request).emplace_back(name, input.Text());
  }
  pairing::Exchange exchange = enrichment::MakeExchange(method, target, request, response);
  exchange.pod_is_client = (options & 1) != 0;
  exchange.outcome = static_cast<pairing::Outcome>(1 + (options >> 4) % 8);
  exchange.flags = flags;
  exchange.request_end_ns += times;
  exchange.end_ns -= times;
  exchange.upgrade_protocol = upgrade + std::string(kSecretFields.back().second);
  exchange.response->head.status_code = status;
  exchange.informational_status_codes.assign(options % 16, 103);
  if ((options & 2) != 0) {
    exchange.response.reset();
  }
  return exchange;
}

bool InputHasCanary(const uint8_t* data, size_t size) {
  return HasCanary({reinterpret_cast<const char*>(data), size});
}

void Run(const uint8_t* data, size_t size) {
  if (InputHasCanary(data, size)) {
    return;
  }
  Bench bench;
  enrichment::Enricher enricher(bench.options, bench.clock, bench.taps, bench.book, {&bench.sink});
  enricher.OnExchange(Read({data, size}));
  PODTAP_CHECK(bench.sink.events.size() == 1);
  const EventOrigin origin = {
      .node_name = fuzz::kNodeName, .cluster_name = fuzz::kClusterName, .epoch = kEpoch};

  v1::HttpEvent printed;
  EncodeEvent(bench.sink.events.front(), origin, 1, printed);
  fuzz::CheckEvent(printed);

  BatchBuilder builder(origin, {});
  builder.Add(bench.sink.events.front(), 1, 0);
  const Batch batch = builder.Finish();
  PODTAP_CHECK(!HasCanary(batch.message));
  v1::StreamEventsRequest request;
  PODTAP_CHECK(request.ParseFromString(batch.message));
  v1::EventBatch prepared = request.batch();
  PODTAP_CHECK(ingest::PrepareBatch(prepared).ok());
  PODTAP_CHECK(prepared.SerializeAsString() == request.batch().SerializeAsString());
  const std::vector<v1::HttpEvent> stored = fuzz::StoreAndExpand(std::move(prepared));
  PODTAP_CHECK(stored.size() == 1);
  PODTAP_CHECK(google::protobuf::util::MessageDifferencer::Equals(stored[0], printed));
}

}  // namespace
}  // namespace podtap::exporter

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  podtap::exporter::Run(data, size);
  return 0;
}
