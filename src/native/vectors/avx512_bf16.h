// AVX-512 with its products of bfloat16: what avx512.h has, and what the loops of training need
// beyond.

#pragma once

#include <cstring>

#include "avx512.h"
#include "bfloat16.h"

namespace sunspring {
namespace {  // each instruction set has its own

using Value = bfloat16;  // that activations and weights are kept in

inline bool has_format() { return is_supported() && __builtin_cpu_supports("avx512bf16"); }

inline Floats load(const bfloat16* from) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return floats_of(_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16)));
}
inline void store(Floats x, bfloat16* to) {  // rounded, halves to even
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(raw(x))));
}

// Values that are multiplied and added up at once: two, the first in the lower half of 32 bits.
constexpr std::size_t kGroup = 2;
using Groups = Ints;  // sixteen of them

inline Groups load_groups(const bfloat16* from) { return ints_of(_mm512_loadu_si512(from)); }
inline void store_groups(Groups x, bfloat16* to) { _mm512_storeu_si512(to, raw(x)); }
inline Groups fill_group(const bfloat16* from) {
  std::int32_t pair;
  std::memcpy(&pair, from, sizeof pair);
  return fill(pair);
}
// Those of sixteen columns of two rows.
inline Groups gather_groups(const bfloat16* rows, std::size_t stride) {
  const auto wide = [](const bfloat16* from) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  };
  return ints_of(_mm512_or_si512(wide(rows), _mm512_slli_epi32(wide(rows + stride), 16)));
}

// Add to each sum the two products of its groups.
inline Floats dot(Floats sums, Groups a, Groups b) {
  return floats_of(
      _mm512_dpbf16_ps(raw(sums), reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b)));
}

}  // namespace
}  // namespace sunspring
