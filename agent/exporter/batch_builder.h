// Events -> one EventBatch with its own tables, serialized as the StreamEventsRequest that carries
// it, so that sending and resending cost no encoding.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "agent/enrichment/event.h"
#include "agent/exporter/event_encoder.h"
#include "podtap/v1/ingest_service.pb.h"

namespace podtap::exporter {

// When a batch is full.
struct BatchLimits {
  uint32_t max_events = 500;
  uint64_t max_bytes = 256 * 1024;
  int64_t max_age_ns = 200'000'000;
};

// A finished batch.
struct Batch {
  uint64_t first_sequence = 0;
  uint32_t events = 0;
  // A serialized StreamEventsRequest.
  std::string message;
};

// Not thread-safe. The builder and its tables are reused from batch to batch.
class BatchBuilder {
 public:
  BatchBuilder(EventOrigin origin, const BatchLimits& limits);

  // Adds an event whose sequence is the last one's plus one; the first of a batch starts anywhere.
  // `now_ns` (monotonic) begins the batch's age.
  void Add(const enrichment::Event& event, uint64_t sequence, int64_t now_ns);

  bool empty() const { return events_ == 0; }
  // By events or by bytes.
  bool IsFull() const { return events_ >= limits_.max_events || bytes_ >= limits_.max_bytes; }
  bool IsAged(int64_t now_ns) const {
    return events_ > 0 && now_ns - opened_ns_ >= limits_.max_age_ns;
  }
  uint64_t first_sequence() const { return batch_->first_sequence(); }
  uint32_t events() const { return events_; }
  // An upper bound of the message's size so far.
  uint64_t bytes() const { return bytes_; }
  // Events some text of which was left out because the event was out of all proportion. An enricher
  // makes no such event.
  uint64_t events_cut() const { return events_cut_; }

  // The batch as it is; the builder is empty afterwards. Not for an empty builder.
  Batch Finish();

 private:
  // What tells endpoints of one address apart within a batch.
  struct EndpointId {
    IpAddress ip;
    const discovery::PodIdentity* pod;
    enrichment::EndpointKind kind;
    enrichment::MetadataState state;

    friend bool operator==(const EndpointId&, const EndpointId&) = default;
    template <typename H>
    friend H AbslHashValue(H hash, const EndpointId& id) {
      return H::combine(std::move(hash), id.ip, id.pod, id.kind, id.state);
    }
  };

  // What a batch says of an endpoint, kept from batch to batch: labels are dear to write anew.
  struct KnownEndpoint {
    // A serialized EventBatch that holds it alone; empty until it is made.
    std::string bytes;
    // Keeps alive what the key points to.
    std::shared_ptr<const discovery::PodIdentity> pod;
    // Its index in the table of the batch with this number.
    uint64_t batch = 0;
    uint32_t index = 0;
  };

  void Open(const enrichment::Event& event, uint64_t sequence, int64_t now_ns);
  void AddRequest(const enrichment::EventRequest& request, v1::BatchEvent& out);
  void AddResponse(const enrichment::Event& event, v1::BatchEvent& out);
  void AddHeaders(const enrichment::Headers& headers,
                  google::protobuf::RepeatedField<uint32_t>& out);
  // Index in the batch's string table.
  uint32_t String(std::string_view text);
  // The same, when the text is not the one that was last at its place.
  uint32_t LookUp(std::string_view text);
  // Index in the batch's endpoint table.
  uint32_t Endpoint(const enrichment::Endpoint& endpoint);
  void AppendEndpoints(std::string& message) const;

  const EventOrigin origin_;
  const BatchLimits limits_;
  v1::StreamEventsRequest message_;
  v1::EventBatch* batch_;
  // Keys are views into the batch's own table.
  absl::flat_hash_map<absl::string_view, uint32_t> strings_;
  // By place within an event: the text that was last there. Often it is the same again, which a
  // comparison finds faster than a hash. Views into the batch's own table.
  struct Memo {
    std::string_view text;
    uint32_t index = 0;
  };
  std::array<Memo, 48> memos_;
  size_t place_ = 0;
  // Emptied at a bound, between two batches.
  absl::flat_hash_map<EndpointId, KnownEndpoint> known_endpoints_;
  uint64_t known_bytes_ = 0;
  // The open batch's table, serialized, its size, and the batch's number.
  std::string endpoints_;
  uint32_t endpoint_count_ = 0;
  uint64_t batch_number_ = 1;
  uint32_t events_ = 0;
  uint64_t bytes_ = 0;
  int64_t opened_ns_ = 0;
  // Of the event being added.
  uint64_t text_budget_ = 0;
  bool cut_ = false;
  uint64_t events_cut_ = 0;
};

}  // namespace podtap::exporter
