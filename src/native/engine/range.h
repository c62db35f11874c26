// Parts of what is counted.

#pragma once

#include <cstddef>

namespace sunspring {

struct Range {
  std::size_t first, last;  // last: the one after

  std::size_t size() const { return last - first; }
};

// The share of one of `count` in so many; together they have all of them, and none differs by more
// than one.
static inline Range share(std::size_t total, std::size_t index, std::size_t count) {
  return {total * index / count, total * (index + 1) / count};
}

}  // namespace sunspring
