// Where in a JSON text its reader is: for readers that follow the text and build nothing of it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace podtap::discovery {

class JsonPlace {
 public:
  explicit JsonPlace(size_t max_depth) : max_depth_(max_depth) {}

  // An object or an array begins; false when it lies too deep.
  bool Enter() {
    keys_.emplace_back();
    return keys_.size() <= max_depth_;
  }
  // It ends.
  void Leave() { keys_.pop_back(); }
  // The key of what follows in the open object.
  void SetKey(std::string key) { keys_.back() = std::move(key); }

  // Objects and arrays that are open.
  size_t depth() const { return keys_.size(); }
  // The key under way in the innermost one.
  const std::string& key() const { return keys_.back(); }
  // Whether these are the keys of all of them, outermost first; that of an array is empty.
  bool IsAt(std::initializer_list<std::string_view> place) const {
    return std::equal(keys_.begin(), keys_.end(), place.begin(), place.end());
  }

 private:
  const size_t max_depth_;
  std::vector<std::string> keys_;
};

}  // namespace podtap::discovery
