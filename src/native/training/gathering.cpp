// The sums of gathering.h; compiled once for each instruction set, in its namespace SUNSPRING_LOOPS.

#include "gathering.h"

#include <cstring>

#include "products.h"
#include "threads.h"

namespace sunspring {
namespace {

// Each thread takes some columns, so that none waits for another.
void sum_by_token(std::size_t steps, std::size_t width, std::size_t vocabulary, const Value* values,
                  const std::int64_t* tokens, float* sums) {
  in_team([&](const Member& member) {
    const Range vectors = share(width / kLanes, member);
    const std::size_t first = vectors.first * kLanes, last = vectors.last * kLanes;
    for (std::size_t token = 0; token < vocabulary; ++token) {
      std::memset(sums + token * width + first, 0, (last - first) * sizeof(float));
    }
    for (std::size_t step = 0; step < steps; ++step) {
      const Value* from = values + step * width;
      float* to = sums + static_cast<std::size_t>(tokens[step]) * width;
      for (std::size_t place = first; place < last; place += kLanes) {
        store(load(to + place) + load(from + place), to + place);
      }
    }
  });
}

}  // namespace

namespace SUNSPRING_LOOPS {
extern const Gathering<Value> gathering;
const Gathering<Value> gathering = {sum_by_token};
}  // namespace SUNSPRING_LOOPS

}  // namespace sunspring
