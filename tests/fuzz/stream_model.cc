#include "tests/fuzz/stream_model.h"

#include <algorithm>
#include <utility>

namespace podtap::fuzz {

void StreamModel::Add(int64_t begin, std::vector<Symbol> symbols, bool fin) {
  const int64_t end = begin + static_cast<int64_t>(symbols.size());
  const auto next = static_cast<int64_t>(out_.size());
  if (!symbols.empty()) {
    if (fin_ && end > static_cast<int64_t>(*fin_)) {
      return;
    }
    AddPayload(begin, std::move(symbols));
  }
  if (fin && end >= next) {
    TakeFin(static_cast<uint64_t>(end));
  }
}

void StreamModel::AddPayload(int64_t begin, std::vector<Symbol> symbols) {
  const auto next = static_cast<int64_t>(out_.size());
  if (begin + static_cast<int64_t>(symbols.size()) <= next) {
    return;
  }
  if (begin < next) {
    symbols.erase(symbols.begin(), symbols.begin() + (next - begin));
    begin = next;
  }
  newest_ = std::max(newest_, static_cast<uint64_t>(begin) + symbols.size());
  if (begin == next) {
    // What continues the stream beats what waits.
    out_.insert(out_.end(), symbols.begin(), symbols.end());
  } else {
    Wait({static_cast<uint64_t>(begin), std::move(symbols)});
  }
}

void StreamModel::Wait(Waiting segment) {
  const bool covered = std::any_of(waiting_.begin(), waiting_.end(), [&](const Waiting& old) {
    return old.begin <= segment.begin && old.end() >= segment.end();
  });
  if (covered) {
    return;
  }
  waiting_.remove_if(
      [&](const Waiting& old) { return old.begin >= segment.begin && old.end() <= segment.end(); });
  const auto behind = std::find_if(waiting_.begin(), waiting_.end(),
                                   [&](const Waiting& old) { return old.begin > segment.begin; });
  waiting_.insert(behind, std::move(segment));
}

void StreamModel::TakeFin(uint64_t position) {
  if (fin_ && position >= *fin_) {
    return;
  }
  fin_ = position;
  waiting_.remove_if([&](const Waiting& old) { return old.end() > position; });
}

void StreamModel::GiveUpKnownGaps() { give_up_until_ = std::max(newest_, fin_.value_or(0)); }

void StreamModel::GiveUpToNewest() { give_up_until_ = newest_; }

void StreamModel::GiveUpFirstGap() { give_up_until_ = std::max(give_up_until_, out_.size() + 1); }

void StreamModel::Drain() {
  while (true) {
    if (!waiting_.empty() && waiting_.front().begin <= out_.size()) {
      const Waiting& first = waiting_.front();
      if (first.end() > out_.size()) {
        const auto from = static_cast<int64_t>(out_.size() - first.begin);
        out_.insert(out_.end(), first.symbols.begin() + from, first.symbols.end());
      }
      waiting_.pop_front();
    } else if (HasGap() && (give_up_always_ || give_up_until_ > out_.size())) {
      out_.resize(waiting_.empty() ? *fin_ : waiting_.front().begin, kLostSymbol);
    } else {
      ended_ = ended_ || (fin_ && *fin_ <= out_.size());
      return;
    }
  }
}

uint64_t StreamModel::buffered() const {
  uint64_t sum = 0;
  for (const Waiting& segment : waiting_) {
    sum += segment.symbols.size();
  }
  return sum;
}

}  // namespace podtap::fuzz
