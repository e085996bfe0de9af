#include "agent/capture/connection_map.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

namespace podtap::capture {
namespace {

pt_connection_key ToKernel(const ConnectionKey& key) {
  pt_connection_key result{};
  std::copy(key.local.bytes().begin(), key.local.bytes().end(), result.local_addr);
  std::copy(key.remote.bytes().begin(), key.remote.bytes().end(), result.remote_addr);
  result.tap = key.tap.slot;
  result.generation = key.tap.generation;
  result.local_port = key.local_port;
  result.remote_port = key.remote_port;
  return result;
}

// The entry, if it belongs to that very connection: the tuple may have been reused since.
template <typename Value>
std::optional<Value> FindOpenedAt(int map_fd, const pt_connection_key& key, uint64_t opened_ns) {
  Value value;
  if (bpf_map_lookup_elem(map_fd, &key, &value) != 0 || value.opened_ns != opened_ns) {
    return std::nullopt;
  }
  return value;
}

template <typename Value>
void DeleteIfOpenedAt(int map_fd, const pt_connection_key& key, uint64_t opened_ns) {
  if (FindOpenedAt<Value>(map_fd, key, opened_ns)) {
    bpf_map_delete_elem(map_fd, &key);
  }
}

}  // namespace

void ConnectionMap::OnFeedback(const ConnectionKey& key, const Feedback& feedback) {
  const pt_connection_key kernel_key = ToKernel(key);
  ++posted_;
  if (feedback.verdict == Verdict::kOpaque) {
    const std::optional<pt_connection> connection = FindOpenedAt<pt_connection>(
        program_.connections_fd(), kernel_key, static_cast<uint64_t>(key.opened_ns));
    if (!connection) {
      return;
    }
    // Into the one table before out of the other: a packet in between is taken for opaque.
    const uint64_t reason = connection->kind != 0 ? connection->kind : uint64_t{PT_COUNT_OPAQUE};
    if (bpf_map_update_elem(program_.opaque_fd(), &kernel_key, &reason, BPF_ANY) != 0) {
      ++refused_;
    }
    bpf_map_delete_elem(program_.connections_fd(), &kernel_key);
    DeleteIfOpenedAt<pt_feedback>(program_.feedback_fd(), kernel_key,
                                  static_cast<uint64_t>(key.opened_ns));
    return;
  }
  pt_feedback value{};
  value.opened_ns = static_cast<uint64_t>(key.opened_ns);
  value.verdict = feedback.verdict == Verdict::kHttp ? PT_HTTP : PT_UNDECIDED;
  for (int direction = 0; direction < 2; ++direction) {
    value.has_skip[direction] = feedback.skip_until[direction].has_value();
    value.skip_until[direction] = feedback.skip_until[direction].value_or(0);
  }
  if (bpf_map_update_elem(program_.feedback_fd(), &kernel_key, &value, BPF_ANY) != 0) {
    ++refused_;
  }
}

void ConnectionMap::OnForgotten(const ConnectionKey& key) {
  const pt_connection_key kernel_key = ToKernel(key);
  const auto opened_ns = static_cast<uint64_t>(key.opened_ns);
  DeleteIfOpenedAt<pt_connection>(program_.connections_fd(), kernel_key, opened_ns);
  DeleteIfOpenedAt<pt_feedback>(program_.feedback_fd(), kernel_key, opened_ns);
}

uint64_t ConnectionMap::Sweep(int64_t idle_since_ns) const {
  const auto limit = static_cast<uint64_t>(std::max<int64_t>(idle_since_ns, 0));
  std::vector<pt_connection_key> idle;
  pt_connection_key key;
  const pt_connection_key* previous = nullptr;
  // The walk may start again when its key is deleted under it; the bound ends that.
  for (uint32_t step = 0; step < 2 * 65'536; ++step) {
    pt_connection_key next;
    if (bpf_map_get_next_key(program_.connections_fd(), previous, &next) != 0) {
      break;
    }
    pt_connection value;
    if (bpf_map_lookup_elem(program_.connections_fd(), &next, &value) == 0 &&
        std::max({value.opened_ns, value.direction[0].reported_ns, value.direction[0].run_time_ns,
                  value.direction[1].reported_ns, value.direction[1].run_time_ns}) < limit) {
      idle.push_back(next);
    }
    key = next;
    previous = &key;
  }
  for (const pt_connection_key& dead : idle) {
    bpf_map_delete_elem(program_.connections_fd(), &dead);
    bpf_map_delete_elem(program_.feedback_fd(), &dead);
  }
  return idle.size();
}

}  // namespace podtap::capture
