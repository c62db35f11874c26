// Sixteen values at a time on x86-64 with AVX-512 and its products of bytes (VNNI).

#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace sunspring {
namespace {  // each instruction set has its own

constexpr const char* kName = "avx512";
constexpr std::size_t kBlocks = 4, kTexts = 6;   // 24 of 32 registers for sums of the engine,
// and of training: so many vectors of so many rows
constexpr std::size_t kTileVectors = 4, kTileRows = 6;
inline bool is_supported() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni");
}

// Vectors of the compiler's own kind, with its operators: arrays of them stay in registers, where
// GCC keeps arrays of structures around them in memory.
typedef float Floats __attribute__((vector_size(64)));
typedef std::int32_t Ints __attribute__((vector_size(64)));

inline __m512 raw(Floats x) { return reinterpret_cast<__m512>(x); }
inline __m512i raw(Ints x) { return reinterpret_cast<__m512i>(x); }
inline Floats floats_of(__m512 x) { return reinterpret_cast<Floats>(x); }
inline Ints ints_of(__m512i x) { return reinterpret_cast<Ints>(x); }

inline Floats load(const float* from) { return floats_of(_mm512_loadu_ps(from)); }
inline void store(Floats x, float* to) { _mm512_storeu_ps(to, raw(x)); }
inline Floats fill(float x) { return floats_of(_mm512_set1_ps(x)); }
inline Ints load(const std::int32_t* from) { return ints_of(_mm512_loadu_si512(from)); }
inline Ints fill(std::int32_t x) { return ints_of(_mm512_set1_epi32(x)); }

inline Floats least(Floats a, Floats b) { return floats_of(_mm512_min_ps(raw(a), raw(b))); }
inline Floats most(Floats a, Floats b) { return floats_of(_mm512_max_ps(raw(a), raw(b))); }

// sums + a · b, in one rounding where the processor has it: not the same bits everywhere.
inline Floats multiply_add(Floats sums, Floats a, Floats b) {
  return floats_of(_mm512_fmadd_ps(raw(a), raw(b), raw(sums)));
}

inline Floats floats(Ints x) { return floats_of(_mm512_cvtepi32_ps(raw(x))); }
inline Ints nearest(Floats x) { return ints_of(_mm512_cvtps_epi32(raw(x))); }  // halves to even
inline Ints bits(Floats x) { return reinterpret_cast<Ints>(x); }
inline Floats of_bits(Ints x) { return reinterpret_cast<Floats>(x); }
inline Ints up23(Ints x) { return ints_of(_mm512_slli_epi32(raw(x), 23)); }
inline Ints down23(Ints x) { return ints_of(_mm512_srai_epi32(raw(x), 23)); }

// Some of sixteen values.
using Mask = __mmask16;

inline Mask mask_of(std::uint16_t bits) { return bits; }
inline Mask equal(Ints a, Ints b) { return _mm512_cmpeq_epi32_mask(raw(a), raw(b)); }
// Of those a, of the others b.
inline Floats choose(Mask mask, Floats a, Floats b) {
  return floats_of(_mm512_mask_blend_ps(mask, raw(b), raw(a)));
}

// Activations are kept this much larger than they are, as the products want them unsigned.
constexpr std::int32_t kZero = 128;

// Keep sixteen activations from -127 to 127.
inline void store(Ints x, std::int8_t* to) {
  const __m512i kept = _mm512_add_epi32(raw(x), _mm512_set1_epi32(kZero));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(kept));
}

// Add to sixteen rows' sums their products with four activations; `weights` are 16 rows × 4.
inline Ints dot(Ints sums, const std::int8_t* weights, std::int32_t four_activations) {
  return ints_of(_mm512_dpbusd_epi32(raw(sums), _mm512_set1_epi32(four_activations),
                                     _mm512_load_si512(weights)));
}

}  // namespace
}  // namespace sunspring
