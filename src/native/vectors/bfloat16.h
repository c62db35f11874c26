// The number type that the loops of training share with PyTorch.

#pragma once

#include <cstdint>
#include <cstring>

namespace sunspring {

// The upper half of a float32.
struct bfloat16 {
  std::uint16_t bits;
};

// The nearest one, of two the even.
static inline bfloat16 rounded(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return {static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

}  // namespace sunspring
