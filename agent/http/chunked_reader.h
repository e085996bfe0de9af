// The chunked coding (RFC 9112 section 7.1), read for its framing only.
#pragma once

#include <cstdint>
#include <string_view>

namespace podtap::http {

// Incremental at any byte. Extensions and trailers are skipped; a bare LF ends a line.
class ChunkedReader {
 public:
  enum class State : uint8_t {
    // In the chunk's size, of which no digit was seen yet, or some.
    kSizeStart,
    kSize,
    kExtension,
    kData,
    // Behind the data: CR LF.
    kDataEnd,
    kTrailerStart,
    kTrailer,
    kDone,
    // Not chunked coding.
    kBroken,
  };

  // Reads until the end of `bytes`, of the body, or of sense. Returns how many bytes were taken;
  // the broken one is not.
  size_t Read(std::string_view bytes);
  // Skips data without its bytes. `size` is at most data_left().
  void SkipData(uint64_t size);

  State state() const { return state_; }
  // Bytes of the current chunk's data to come; 0 outside of data.
  uint64_t data_left() const { return state_ == State::kData ? data_left_ : 0; }

 private:
  void TakeSizeDigit(char c);
  void EndSizeLine();
  void TakeByte(char c);

  State state_ = State::kSizeStart;
  // In a line end's or an empty trailer line's CR.
  bool after_cr_ = false;
  uint64_t data_left_ = 0;
};

}  // namespace podtap::http
