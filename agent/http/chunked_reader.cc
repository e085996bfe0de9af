#include "agent/http/chunked_reader.h"

#include <algorithm>

namespace podtap::http {
namespace {

// Larger chunks are not believed; also keeps position arithmetic far from its end.
constexpr uint64_t kMaxChunkBytes = uint64_t{1} << 60;

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

size_t ChunkedReader::Read(std::string_view bytes) {
  size_t taken = 0;
  while (taken < bytes.size() && state_ != State::kDone && state_ != State::kBroken) {
    if (state_ == State::kData) {
      const uint64_t size = std::min<uint64_t>(data_left_, bytes.size() - taken);
      SkipData(size);
      taken += size;
      continue;
    }
    TakeByte(bytes[taken]);
    taken += state_ == State::kBroken ? 0 : 1;
  }
  return taken;
}

void ChunkedReader::SkipData(uint64_t size) {
  data_left_ -= size;
  if (data_left_ == 0) {
    state_ = State::kDataEnd;
    after_cr_ = false;
  }
}

void ChunkedReader::TakeSizeDigit(char c) {
  const int digit = HexDigit(c);
  if (digit >= 0) {
    if (data_left_ >= kMaxChunkBytes / 16) {
      state_ = State::kBroken;
      return;
    }
    data_left_ = data_left_ * 16 + static_cast<uint64_t>(digit);
    state_ = State::kSize;
  } else if (state_ == State::kSizeStart) {
    state_ = State::kBroken;
  } else if (c == '\n') {
    EndSizeLine();
  } else if (c == ';' || c == ' ' || c == '\t' || c == '\r') {
    // Whitespace here is bad but common (section 7.1.1).
    state_ = State::kExtension;
  } else {
    state_ = State::kBroken;
  }
}

void ChunkedReader::EndSizeLine() {
  state_ = data_left_ > 0 ? State::kData : State::kTrailerStart;
  after_cr_ = false;
}

void ChunkedReader::TakeByte(char c) {
  switch (state_) {
    case State::kSizeStart:
    case State::kSize:
      TakeSizeDigit(c);
      return;
    case State::kExtension:
      if (c == '\n') {
        EndSizeLine();
      }
      return;
    case State::kDataEnd:
      if (c == '\n') {
        state_ = State::kSizeStart;
        data_left_ = 0;
      } else if (c == '\r' && !after_cr_) {
        after_cr_ = true;
      } else {
        state_ = State::kBroken;
      }
      return;
    case State::kTrailerStart:
      if (c == '\n') {
        state_ = State::kDone;
      } else if (c == '\r' && !after_cr_) {
        after_cr_ = true;
      } else {
        state_ = State::kTrailer;
      }
      return;
    case State::kTrailer:
      if (c == '\n') {
        state_ = State::kTrailerStart;
        after_cr_ = false;
      }
      return;
    case State::kData:
    case State::kDone:
    case State::kBroken:
      return;
  }
}

}  // namespace podtap::http
