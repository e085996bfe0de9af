// What a byte stream has to pass on, by the plainest means: symbol by symbol, lists instead of
// maps. The rules are those of agent/reassembly/byte_stream.h.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <vector>

namespace podtap::fuzz {

// Stands for one byte of a stream: its value, or why there is none.
using Symbol = int16_t;
constexpr Symbol kNotCopiedSymbol = -1;
constexpr Symbol kLostSymbol = -2;

class StreamModel {
 public:
  // A segment whose first byte is `begin` bytes from the stream's start, which may be before it.
  void Add(int64_t begin, std::vector<Symbol> symbols, bool fin);
  // Gives up gaps below the newest byte or the FIN; below the newest byte alone; at the end of what
  // was passed on; all for good.
  void GiveUpKnownGaps();
  void GiveUpToNewest();
  void GiveUpFirstGap();
  void GiveUpAlways() { give_up_always_ = true; }
  // Passes on what can be.
  void Drain();

  const std::vector<Symbol>& out() const { return out_; }
  bool HasGap() const { return !waiting_.empty() || (fin_ && *fin_ > out_.size()); }
  bool ended() const { return ended_; }
  uint64_t buffered() const;

 private:
  struct Waiting {
    uint64_t begin;
    std::vector<Symbol> symbols;
    uint64_t end() const { return begin + symbols.size(); }
  };

  void AddPayload(int64_t begin, std::vector<Symbol> symbols);
  void Wait(Waiting segment);
  void TakeFin(uint64_t position);

  std::vector<Symbol> out_;
  // In the order of their starts.
  std::list<Waiting> waiting_;
  std::optional<uint64_t> fin_;
  uint64_t newest_ = 0;
  uint64_t give_up_until_ = 0;
  bool give_up_always_ = false;
  bool ended_ = false;
};

}  // namespace podtap::fuzz
