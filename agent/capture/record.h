// A record of the kernel side (bpf/capture_abi.h), as it lies in the ring, read into a segment.
#pragma once

#include <cstdint>
#include <span>

#include "agent/capture/segment.h"

namespace podtap::capture {

// Parses one record. False when it contradicts itself; then `segment` is not to be used. Spans of
// `segment` point into `data`.
bool ParseRecord(std::span<const uint8_t> data, Segment& segment);

}  // namespace podtap::capture
