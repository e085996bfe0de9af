// One AF_PACKET socket bound to one interface, with a tap's dispatcher as its filter.
//
// Nothing is ever read from the socket: the program returns 0, so the kernel queues nothing on it.
#pragma once

#include <cstdint>
#include <utility>

#include "absl/status/statusor.h"
#include "common/unique_fd.h"

namespace podtap::capture {

// Owns the attachment: destroying the tap detaches the program, and waits some 12 ms for the kernel
// to finish with it. Never destroy one on a thread that reads the ring. Movable, not thread-safe.
class PacketTap {
 public:
  // Attaches `dispatcher_fd` (borrowed; the socket keeps its own reference) to `interface_index`.
  // kNotFound: the interface is gone, which is usual while a pod is being deleted.
  // kPermissionDenied: CAP_NET_RAW is missing; retrying will not help.
  static absl::StatusOr<PacketTap> Open(uint32_t interface_index, int dispatcher_fd);

  // False once the interface is gone: the kernel then ends the binding for good. An interface that
  // is only down stays bound.
  bool IsBound() const;

 private:
  explicit PacketTap(UniqueFd socket) : socket_(std::move(socket)) {}
  UniqueFd socket_;
};

}  // namespace podtap::capture
