// The threads of OpenMP, which are PyTorch's.

#pragma once

#include <omp.h>

#include "engine/range.h"

namespace sunspring {

// This thread's share of so many.
static inline Range share(std::size_t total) {
  return share(total, omp_get_thread_num(), omp_get_num_threads());
}

}  // namespace sunspring
