// AVX-512 with its products of bfloat16: what avx512.h has, and what the loops of training need
// beyond.

#pragma once

#include <cstring>

#include "avx512.h"
#include "bfloat16.h"

namespace sunspring {
namespace {  // each instruction set has its own

inline bool has_bfloat16() { return is_supported() && __builtin_cpu_supports("avx512bf16"); }

inline Floats load(const bfloat16* from) {
  const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return floats_of(_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16)));
}
inline void store(Floats x, bfloat16* to) {  // rounded, halves to even
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(raw(x))));
}

// Sixteen pairs of bfloat16, the first of each in the lower half of its 32 bits.
using Pairs = Ints;

inline Pairs load_pairs(const bfloat16* from) { return ints_of(_mm512_loadu_si512(from)); }
inline void store_pairs(Pairs x, bfloat16* to) { _mm512_storeu_si512(to, raw(x)); }
inline Pairs fill_pair(const bfloat16* from) {
  std::int32_t pair;
  std::memcpy(&pair, from, sizeof pair);
  return fill(pair);
}
// Those of sixteen values and of the sixteen that belong beside them.
inline Pairs interleave(const bfloat16* first, const bfloat16* second) {
  const auto wide = [](const bfloat16* from) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  };
  return ints_of(_mm512_or_si512(wide(first), _mm512_slli_epi32(wide(second), 16)));
}

// Add to each sum the two products of its pairs.
inline Floats dot(Floats sums, Pairs a, Pairs b) {
  return floats_of(
      _mm512_dpbf16_ps(raw(sums), reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b)));
}

// Some of sixteen values.
using Mask = __mmask16;

inline Mask mask_of(std::uint16_t bits) { return bits; }
inline Mask equal(Ints a, Ints b) { return _mm512_cmpeq_epi32_mask(raw(a), raw(b)); }
// Of those a, of the others b.
inline Floats choose(Mask mask, Floats a, Floats b) {
  return floats_of(_mm512_mask_blend_ps(mask, raw(b), raw(a)));
}

}  // namespace
}  // namespace sunspring
