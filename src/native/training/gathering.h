// Sums that pass over much memory: small work, but too much for one thread.

#pragma once

#include <cstddef>
#include <cstdint>

namespace sunspring {

template <typename Value>
struct Gathering {
  // sums (vocabulary, width): of the values (steps, width), those of the steps of each token.
  void (*sum_by_token)(std::size_t steps, std::size_t width, std::size_t vocabulary,
                       const Value* values, const std::int64_t* tokens, float* sums);
};

}  // namespace sunspring
