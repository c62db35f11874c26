// The number type that the kernels share with PyTorch.

#pragma once

#include <cstdint>

namespace sunspring {

// The upper half of a float32.
struct bfloat16 {
  std::uint16_t bits;
};

}  // namespace sunspring
