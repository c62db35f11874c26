// Sixteen values at a time on x86-64 with AVX2 and FMA: two registers.

#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace sunspring {
namespace {  // each instruction set has its own

constexpr const char* kName = "avx2";
constexpr std::size_t kBlocks = 2, kTexts = 2;   // 8 of 16 registers for sums of the engine,
// 12 of training: so many vectors of so many rows
constexpr std::size_t kTileVectors = 1, kTileRows = 6;
inline bool is_supported() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }

struct Floats {
  __m256 low, high;
};
struct Ints {
  __m256i low, high;
};

inline Floats load(const float* from) { return {_mm256_loadu_ps(from), _mm256_loadu_ps(from + 8)}; }
inline void store(Floats x, float* to) {
  _mm256_storeu_ps(to, x.low);
  _mm256_storeu_ps(to + 8, x.high);
}
inline Floats fill(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
inline Ints load(const std::int32_t* from) {
  const auto* halves = reinterpret_cast<const __m256i*>(from);
  return {_mm256_loadu_si256(halves), _mm256_loadu_si256(halves + 1)};
}
inline Ints fill(std::int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }

inline Floats operator+(Floats a, Floats b) {
  return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}
inline Floats operator-(Floats a, Floats b) {
  return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)};
}
inline Floats operator*(Floats a, Floats b) {
  return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}
inline Floats operator/(Floats a, Floats b) {
  return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)};
}
inline Floats least(Floats a, Floats b) {
  return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)};
}
inline Floats most(Floats a, Floats b) {
  return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)};
}

// sums + a · b, in one rounding where the processor has it: not the same bits everywhere.
inline Floats multiply_add(Floats sums, Floats a, Floats b) {
  return {_mm256_fmadd_ps(a.low, b.low, sums.low), _mm256_fmadd_ps(a.high, b.high, sums.high)};
}

inline Floats floats(Ints x) { return {_mm256_cvtepi32_ps(x.low), _mm256_cvtepi32_ps(x.high)}; }
inline Ints nearest(Floats x) { return {_mm256_cvtps_epi32(x.low), _mm256_cvtps_epi32(x.high)}; }
inline Ints bits(Floats x) { return {_mm256_castps_si256(x.low), _mm256_castps_si256(x.high)}; }
inline Floats of_bits(Ints x) { return {_mm256_castsi256_ps(x.low), _mm256_castsi256_ps(x.high)}; }
inline Ints operator+(Ints a, Ints b) {
  return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
}
inline Ints operator-(Ints a, Ints b) {
  return {_mm256_sub_epi32(a.low, b.low), _mm256_sub_epi32(a.high, b.high)};
}
inline Ints up23(Ints x) { return {_mm256_slli_epi32(x.low, 23), _mm256_slli_epi32(x.high, 23)}; }
inline Ints down23(Ints x) { return {_mm256_srai_epi32(x.low, 23), _mm256_srai_epi32(x.high, 23)}; }

// Some of sixteen values.
struct Mask {
  __m256i low, high;
};

inline Mask equal(Ints a, Ints b) {
  return {_mm256_cmpeq_epi32(a.low, b.low), _mm256_cmpeq_epi32(a.high, b.high)};
}
inline Mask mask_of(std::uint16_t bits) {
  const __m256i places = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  const auto eight = [=](int bits) {
    return _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(bits), places), places);
  };
  return {eight(bits), eight(bits >> 8)};
}
// Of those a, of the others b.
inline Floats choose(Mask mask, Floats a, Floats b) {
  return {_mm256_blendv_ps(b.low, a.low, _mm256_castsi256_ps(mask.low)),
          _mm256_blendv_ps(b.high, a.high, _mm256_castsi256_ps(mask.high))};
}

// Activations are kept as they are.
constexpr std::int32_t kZero = 0;

// Keep sixteen activations from -127 to 127.
inline void store(Ints x, std::int8_t* to) {
  const __m256i pairs = _mm256_packs_epi32(x.low, x.high);  // 0-3 8-11 | 4-7 12-15
  const __m256i ordered = _mm256_permute4x64_epi64(pairs, 0xD8);
  const __m128i bytes =
      _mm_packs_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
}

// Add to sixteen rows' sums their products with four activations; `weights` are 16 rows × 4.
inline Ints dot(Ints sums, const std::int8_t* weights, std::int32_t four_activations) {
  const __m256i activations = _mm256_set1_epi32(four_activations);
  const auto eight = [=](__m256i sums, const std::int8_t* weights) {
    const __m256i w = _mm256_load_si256(reinterpret_cast<const __m256i*>(weights));
    // |w| · (a with the sign of w): without -128, two such products fit 16 bits
    const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(activations, w));
    return _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  };
  return {eight(sums.low, weights), eight(sums.high, weights + 32)};
}

}  // namespace
}  // namespace sunspring
