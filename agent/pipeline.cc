#include "agent/pipeline.h"

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "agent/conversation.h"
#include "agent/http/start_line.h"
#include "agent/tls/hello.h"

namespace podtap {
namespace {

using capture::ConnectionKey;
using capture::Direction;
using capture::Segment;
using pairing::EndReason;
using reassembly::Tally;

// A connection that is over is remembered for this long, so that what is sent again behind its end
// does not look like a new one.
constexpr int64_t kLingerNs = 1'000'000'000;
// The same for one that is of no more interest. Its segments stop when the kernel side has heard of
// that; what is still in the ring follows within this time.
constexpr int64_t kQuietLingerNs = 10'000'000'000;

class EntryList;

struct Entry {
  ConnectionKey key;
  // Null once the connection is over or opaque.
  std::unique_ptr<Conversation> conversation;
  int64_t last_ns = 0;
  bool has_gap = false;
  // What it is in.
  EntryList* list = nullptr;
  // FINs seen while opaque, by Direction.
  bool fin[2] = {false, false};
  Entry* previous = nullptr;
  Entry* next = nullptr;
};

// Entries by time of their last segment; owns nothing.
class EntryList {
 public:
  Entry* front() const { return front_; }
  size_t size() const { return size_; }

  void PushBack(Entry* entry) {
    entry->list = this;
    entry->previous = back_;
    entry->next = nullptr;
    (back_ != nullptr ? back_->next : front_) = entry;
    back_ = entry;
    ++size_;
  }
  void Remove(Entry* entry) {
    (entry->previous != nullptr ? entry->previous->next : front_) = entry->next;
    (entry->next != nullptr ? entry->next->previous : back_) = entry->previous;
    --size_;
  }
  void MoveToBack(Entry* entry) {
    if (entry != back_) {
      Remove(entry);
      PushBack(entry);
    }
  }

 private:
  Entry* front_ = nullptr;
  Entry* back_ = nullptr;
  size_t size_ = 0;
};

// The key without what tells users of one tuple apart.
ConnectionKey TupleOf(const ConnectionKey& key) {
  ConnectionKey tuple = key;
  tuple.opened_ns = 0;
  return tuple;
}

std::string_view Head(const Segment& segment) {
  return {reinterpret_cast<const char*>(segment.head.data()), segment.head.size()};
}

// Calls `visit` for the lines of one stage.
class StageVisitor {
 public:
  using Visit = std::function<void(const LedgerLine&)>;
  StageVisitor(LedgerStage stage, const Visit& visit) : stage_(stage), visit_(visit) {}

  void Line(std::string_view name, uint64_t count, uint64_t bytes, bool is_loss = false) const {
    visit_({stage_, {name, count, bytes, is_loss}});
  }
  void Line(std::string_view name, const Tally& tally, bool is_loss = false) const {
    Line(name, tally.count, tally.bytes, is_loss);
  }
  void Count(std::string_view name, uint64_t count, bool is_loss = false) const {
    Line(name, count, 0, is_loss);
  }

 private:
  LedgerStage stage_;
  const Visit& visit_;
};

void VisitStreams(const reassembly::StreamCounters& counters, const StageVisitor& visitor) {
  visitor.Line("delivered", counters.delivered);
  visitor.Line("not_copied", counters.not_copied);
  visitor.Line("duplicate", counters.duplicate);
  visitor.Line("keepalive", counters.keepalive);
  visitor.Line("out_of_window", counters.out_of_window);
  visitor.Line("after_end", counters.after_end);
  visitor.Line("discarded", counters.discarded);
  visitor.Line("buffered", 0, counters.buffered_bytes);
  visitor.Line("gap_lost", counters.lost, true);
  visitor.Line("reordered", counters.reordered);
  visitor.Count("overlap_conflicts", counters.conflicts);
  visitor.Count("reorder_budget_hits", counters.budget_hits);
}

void VisitReaders(const http::ReaderCounters& counters, const StageVisitor& visitor) {
  visitor.Line("read", 0, counters.in_bytes);
  visitor.Line("head", 0, counters.head_bytes);
  visitor.Line("body", 0, counters.body_bytes);
  visitor.Line("blank", 0, counters.blank_bytes);
  visitor.Line("unframed", counters.unframed_count, counters.unframed_bytes, true);
  visitor.Line("unsynced", counters.unsynced_count, counters.unsynced_bytes, true);
  visitor.Line("not_http", 0, counters.not_http_bytes);
  visitor.Count("request_heads", counters.request_heads);
  visitor.Count("response_heads", counters.response_heads);
  visitor.Count("incomplete_heads", counters.incomplete_heads, true);
  visitor.Count("truncated_heads", counters.truncated_heads);
  visitor.Count("inferred_ends", counters.inferred_ends);
  visitor.Count("http2_connections", counters.http2_connections);
}

void VisitHandshakes(const tls::HandshakeCounters& counters, const StageVisitor& visitor) {
  using tls::Version;
  const auto of = [&counters](Version version) {
    return counters.versions[static_cast<size_t>(version)];
  };
  visitor.Count("tls_handshakes", counters.begun);
  visitor.Count("tls_1_1_or_older", of(Version::kTls10) + of(Version::kTls11));
  visitor.Count("tls_1_2", of(Version::kTls12));
  visitor.Count("tls_1_3", of(Version::kTls13));
  visitor.Count("tls_version_unknown", of(Version::kUnknown));
  visitor.Count("tls_hellos_malformed", counters.malformed_hellos);
  visitor.Count("tls_hellos_incomplete", counters.incomplete_hellos);
}

void VisitPairing(const pairing::PairingCounters& counters, const StageVisitor& visitor) {
  visitor.Count("exchanges_begun", counters.exchanges_begun);
  visitor.Count("exchanges_sent", counters.exchanges_sent);
  visitor.Count("midstream_unconfirmed", counters.unconfirmed);
  visitor.Count("open", counters.open());
  visitor.Count("doubtful_requests", counters.doubtful_requests, true);
  visitor.Count("pending_limit", counters.refused_requests, true);
  visitor.Count("responses_paired", counters.paired_responses);
  visitor.Count("responses_informational", counters.informational_responses);
  visitor.Count("orphan_responses", counters.orphan_responses, true);
  visitor.Count("informational_codes_dropped", counters.informational_codes_dropped);
  visitor.Count("doubts", counters.doubts);
  visitor.Count("resyncs", counters.resyncs);
}

}  // namespace

struct Pipeline::Impl {
  Impl(const PipelineLimits& limits, pairing::ExchangeSink& exchanges,
       tls::HandshakeSink& handshakes, capture::FeedbackSink& feedback, const ConnectionIds& ids)
      : shard(limits, exchanges, handshakes, feedback), next_id(ids.first), id_step(ids.step) {}

  Entry* Find(const Segment& segment);
  Entry* Admit(const Segment& segment);
  void OnQuietSegment(Entry* entry, const Segment& segment);
  void Apply(Entry* entry, Conversation::Status status);
  void Close(Entry* entry);
  static void Move(Entry* entry, EntryList* list);
  void Forget(Entry* entry);
  // Forgets those whose last segment is as old as that or older.
  void ForgetOlder(EntryList* list, int64_t last_ns);
  void EndAndForget(Entry* entry, EndReason reason, int64_t now_ns);
  void NoteGap(Entry* entry);

  ShardContext shard;
  absl::flat_hash_map<ConnectionKey, std::unique_ptr<Entry>> table;
  // Followed; opaque; over.
  EntryList live;
  EntryList quiet;
  EntryList closed;
  absl::flat_hash_set<Entry*> gaps;
  Entry* recent = nullptr;
  uint64_t next_id;
  const uint64_t id_step;

  Tally segments;
  Tally table_full;
  Tally unclaimed;
  Tally stale;
  Tally after_close;
  Tally opaque;
  uint64_t connections_opened = 0;
  uint64_t connections_midstream = 0;
  uint64_t connections_opaque = 0;
  uint64_t connections_refused = 0;
  uint64_t connections_timed_out = 0;
};

Entry* Pipeline::Impl::Find(const Segment& segment) {
  if (recent != nullptr && recent->key == segment.key) {
    return recent;
  }
  const auto it = table.find(TupleOf(segment.key));
  recent = it == table.end() ? nullptr : it->second.get();
  return recent;
}

Entry* Pipeline::Impl::Admit(const Segment& segment) {
  pairing::Connection connection;
  connection.key = segment.key;
  Direction client = segment.direction;
  if (segment.client) {
    client = *segment.client;
  } else {
    connection.midstream = true;
    const bool response = http::LooksLikeStart(http::MessageKind::kResponse, Head(segment));
    if (segment.head.empty() ||
        (!response && !http::LooksLikeStart(http::MessageKind::kRequest, Head(segment)) &&
         !tls::LooksLikeClientHello(segment.head))) {
      unclaimed.Add(segment.wire_len);
      return nullptr;
    }
    client = response ? capture::Opposite(segment.direction) : segment.direction;
  }
  if (segment.wire_len == 0) {
    unclaimed.Add(0);
    return nullptr;
  }
  if (table.size() >= shard.limits.max_connections) {
    Entry* spare = closed.front() != nullptr ? closed.front() : quiet.front();
    if (spare == nullptr) {
      table_full.Add(segment.wire_len);
      return nullptr;
    }
    Forget(spare);
  }
  connection.pod_is_client = client == Direction::kFromPod;
  connection.id = next_id;
  next_id += id_step;
  ++connections_opened;
  connections_midstream += connection.midstream ? 1 : 0;
  auto entry = std::make_unique<Entry>();
  entry->key = segment.key;
  entry->conversation = std::make_unique<Conversation>(connection, segment, shard);
  recent = entry.get();
  live.PushBack(recent);
  table[TupleOf(segment.key)] = std::move(entry);
  return recent;
}

void Pipeline::Impl::OnQuietSegment(Entry* entry, const Segment& segment) {
  if (entry->list == &closed) {
    after_close.Add(segment.wire_len);
    return;
  }
  opaque.Add(segment.wire_len);
  entry->fin[static_cast<size_t>(segment.direction)] |= segment.fin;
  if (segment.rst || (entry->fin[0] && entry->fin[1])) {
    Close(entry);
  }
}

void Pipeline::Impl::Apply(Entry* entry, Conversation::Status status) {
  switch (status) {
    case Conversation::Status::kOpen:
      NoteGap(entry);
      return;
    case Conversation::Status::kOver:
      Close(entry);
      return;
    case Conversation::Status::kOpaque:
      ++connections_opaque;
      entry->conversation.reset();
      NoteGap(entry);
      Move(entry, &quiet);
      return;
    case Conversation::Status::kRefused:
      ++connections_refused;
      EndAndForget(entry, EndReason::kClosed, entry->last_ns);
      return;
  }
}

void Pipeline::Impl::NoteGap(Entry* entry) {
  const bool has_gap = entry->conversation != nullptr && entry->conversation->HasGap();
  if (has_gap == entry->has_gap) {
    return;
  }
  entry->has_gap = has_gap;
  if (has_gap) {
    gaps.insert(entry);
  } else {
    gaps.erase(entry);
  }
}

void Pipeline::Impl::Close(Entry* entry) {
  entry->conversation.reset();
  NoteGap(entry);
  Move(entry, &closed);
}

void Pipeline::Impl::Move(Entry* entry, EntryList* list) {
  entry->list->Remove(entry);
  list->PushBack(entry);
}

void Pipeline::Impl::Forget(Entry* entry) {
  entry->conversation.reset();
  NoteGap(entry);
  entry->list->Remove(entry);
  if (recent == entry) {
    recent = nullptr;
  }
  shard.feedback.OnForgotten(entry->key);
  table.erase(TupleOf(entry->key));
}

void Pipeline::Impl::ForgetOlder(EntryList* list, int64_t last_ns) {
  while (list->front() != nullptr && list->front()->last_ns <= last_ns) {
    Forget(list->front());
  }
}

void Pipeline::Impl::EndAndForget(Entry* entry, EndReason reason, int64_t now_ns) {
  if (entry->conversation != nullptr) {
    entry->conversation->End(reason, now_ns);
  }
  Forget(entry);
}

Pipeline::Pipeline(const PipelineLimits& limits, pairing::ExchangeSink& exchanges,
                   tls::HandshakeSink& handshakes, capture::FeedbackSink& feedback,
                   const ConnectionIds& ids)
    : impl_(std::make_unique<Impl>(limits, exchanges, handshakes, feedback, ids)) {}

Pipeline::~Pipeline() = default;

void Pipeline::OnSegment(const Segment& segment) {
  impl_->segments.Add(segment.wire_len);
  Entry* entry = impl_->Find(segment);
  if (entry != nullptr && entry->key.opened_ns != segment.key.opened_ns) {
    if (segment.key.opened_ns < entry->key.opened_ns) {
      impl_->stale.Add(segment.wire_len);
      return;
    }
    impl_->EndAndForget(entry, EndReason::kClosed, segment.time_ns);
    entry = nullptr;
  }
  if (entry == nullptr) {
    entry = impl_->Admit(segment);
    if (entry == nullptr) {
      return;
    }
  }
  if (entry->list != &impl_->closed) {
    entry->last_ns = segment.time_ns;
    entry->list->MoveToBack(entry);
  }
  if (entry->conversation == nullptr) {
    impl_->OnQuietSegment(entry, segment);
    return;
  }
  impl_->Apply(entry, entry->conversation->OnSegment(segment));
}

void Pipeline::OnTick(int64_t now_ns) {
  const std::vector<Entry*> waiting(impl_->gaps.begin(), impl_->gaps.end());
  for (Entry* entry : waiting) {
    impl_->Apply(entry, entry->conversation->OnTick(now_ns));
  }
  const int64_t idle_before_ns = now_ns - impl_->shard.limits.idle_timeout_ns;
  while (impl_->live.front() != nullptr && impl_->live.front()->last_ns <= idle_before_ns) {
    ++impl_->connections_timed_out;
    impl_->EndAndForget(impl_->live.front(), EndReason::kTimeout, now_ns);
  }
  impl_->ForgetOlder(&impl_->closed, now_ns - kLingerNs);
  impl_->ForgetOlder(&impl_->quiet, now_ns - kQuietLingerNs);
}

void Pipeline::CloseTaps(const std::vector<capture::TapId>& taps, int64_t now_ns) {
  const absl::flat_hash_set<capture::TapId> closed(taps.begin(), taps.end());
  std::vector<Entry*> entries;
  for (const auto& [key, entry] : impl_->table) {
    if (closed.contains(key.tap)) {
      entries.push_back(entry.get());
    }
  }
  for (Entry* entry : entries) {
    impl_->EndAndForget(entry, EndReason::kClosed, now_ns);
  }
}

void Pipeline::Finish(int64_t now_ns) {
  while (impl_->live.front() != nullptr) {
    impl_->EndAndForget(impl_->live.front(), EndReason::kClosed, now_ns);
  }
  impl_->ForgetOlder(&impl_->closed, INT64_MAX);
  impl_->ForgetOlder(&impl_->quiet, INT64_MAX);
}

uint64_t Pipeline::open_exchanges() const { return impl_->shard.pairing_counters.open(); }

uint64_t Pipeline::connections() const { return impl_->live.size(); }

void Pipeline::VisitCounters(const std::function<void(const LedgerLine&)>& visit) const {
  const StageVisitor reassembly_visitor(LedgerStage::kReassembly, visit);
  reassembly_visitor.Line("segments", impl_->segments);
  reassembly_visitor.Line("table_full", impl_->table_full, true);
  reassembly_visitor.Line("unclaimed", impl_->unclaimed);
  reassembly_visitor.Line("stale", impl_->stale);
  reassembly_visitor.Line("after_close", impl_->after_close);
  reassembly_visitor.Line("opaque", impl_->opaque);
  VisitStreams(impl_->shard.stream_counters, reassembly_visitor);
  reassembly_visitor.Count("ignored_resets", impl_->shard.ignored_resets);
  reassembly_visitor.Count("connections_opened", impl_->connections_opened);
  reassembly_visitor.Count("connections_midstream", impl_->connections_midstream);
  reassembly_visitor.Count("connections_opaque", impl_->connections_opaque);
  reassembly_visitor.Count("midstream_refused", impl_->connections_refused);
  reassembly_visitor.Count("connections_timed_out", impl_->connections_timed_out);
  const StageVisitor http_visitor(LedgerStage::kHttp, visit);
  VisitReaders(impl_->shard.reader_counters, http_visitor);
  VisitHandshakes(impl_->shard.handshake_counters, http_visitor);
  VisitPairing(impl_->shard.pairing_counters, StageVisitor(LedgerStage::kPairing, visit));
}

}  // namespace podtap
