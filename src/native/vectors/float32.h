// The numbers of training in single precision, for every instruction set: what avx512_bf16.h has for
// bfloat16.

#pragma once

#include SUNSPRING_VECTORS

namespace sunspring {
namespace {  // each instruction set has its own

using Value = float;  // that activations and weights are kept in

inline bool has_format() { return is_supported(); }
inline float rounded(float value) { return value; }

// Values that are multiplied and added up at once: one.
constexpr std::size_t kGroup = 1;
using Groups = Floats;  // sixteen of them

inline Groups load_groups(const float* from) { return load(from); }
inline void store_groups(const Groups& x, float* to) { store(x, to); }
inline Groups fill_group(const float* from) { return fill(*from); }
inline Groups gather_groups(const float* rows, std::size_t) { return load(rows); }

inline Floats dot(const Floats& sums, const Groups& a, const Groups& b) {
  return multiply_add(sums, a, b);
}

}  // namespace
}  // namespace sunspring
