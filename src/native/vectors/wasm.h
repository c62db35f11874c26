// Sixteen values at a time in WebAssembly with its 128-bit SIMD: four registers.

#pragma once

#include <wasm_simd128.h>

#include <cstddef>
#include <cstdint>

namespace sunspring {
namespace {  // each instruction set has its own

constexpr const char* kName = "wasm";
constexpr std::size_t kBlocks = 1, kTexts = 1;
inline bool is_supported() { return true; }  // or the module would not have loaded

struct Floats {
  v128_t v[4];
};
struct Ints {
  v128_t v[4];
};

template <typename Result, typename Operation>
inline Result each(Operation operation) {
  return {operation(0), operation(1), operation(2), operation(3)};
}

inline Floats load(const float* from) {
  return each<Floats>([=](int i) { return wasm_v128_load(from + 4 * i); });
}
inline void store(const Floats& x, float* to) {
  for (int i = 0; i < 4; ++i) wasm_v128_store(to + 4 * i, x.v[i]);
}
inline Floats fill(float x) {
  return each<Floats>([=](int) { return wasm_f32x4_splat(x); });
}
inline Ints load(const std::int32_t* from) {
  return each<Ints>([=](int i) { return wasm_v128_load(from + 4 * i); });
}
inline Ints fill(std::int32_t x) {
  return each<Ints>([=](int) { return wasm_i32x4_splat(x); });
}

inline Floats operator+(const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return wasm_f32x4_add(a.v[i], b.v[i]); });
}
inline Floats operator-(const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return wasm_f32x4_sub(a.v[i], b.v[i]); });
}
inline Floats operator*(const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return wasm_f32x4_mul(a.v[i], b.v[i]); });
}
inline Floats operator/(const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return wasm_f32x4_div(a.v[i], b.v[i]); });
}
inline Floats least(const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return wasm_f32x4_min(a.v[i], b.v[i]); });
}
inline Floats most(const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return wasm_f32x4_max(a.v[i], b.v[i]); });
}

// sums + a · b
inline Floats multiply_add(const Floats& sums, const Floats& a, const Floats& b) {
  return sums + a * b;
}

inline Floats floats(const Ints& x) {
  return each<Floats>([&](int i) { return wasm_f32x4_convert_i32x4(x.v[i]); });
}
inline Ints nearest(const Floats& x) {  // halves to even
  return each<Ints>([&](int i) {
    return wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_nearest(x.v[i]));
  });
}
inline Ints bits(const Floats& x) { return {x.v[0], x.v[1], x.v[2], x.v[3]}; }
inline Floats of_bits(const Ints& x) { return {x.v[0], x.v[1], x.v[2], x.v[3]}; }
inline Ints operator+(const Ints& a, const Ints& b) {
  return each<Ints>([&](int i) { return wasm_i32x4_add(a.v[i], b.v[i]); });
}
inline Ints operator-(const Ints& a, const Ints& b) {
  return each<Ints>([&](int i) { return wasm_i32x4_sub(a.v[i], b.v[i]); });
}
inline Ints up23(const Ints& x) {
  return each<Ints>([&](int i) { return wasm_i32x4_shl(x.v[i], 23); });
}
inline Ints down23(const Ints& x) {
  return each<Ints>([&](int i) { return wasm_i32x4_shr(x.v[i], 23); });
}

// Activations are kept as they are.
constexpr std::int32_t kZero = 0;

// Keep sixteen activations from -127 to 127.
inline void store(const Ints& x, std::int8_t* to) {
  const v128_t low = wasm_i16x8_narrow_i32x4(x.v[0], x.v[1]);
  const v128_t high = wasm_i16x8_narrow_i32x4(x.v[2], x.v[3]);
  wasm_v128_store(to, wasm_i8x16_narrow_i16x8(low, high));
}

// Add to sixteen rows' sums their products with four activations; `weights` are 16 rows × 4.
inline Ints dot(const Ints& sums, const std::int8_t* weights, std::int32_t four_activations) {
  const v128_t activations = wasm_i16x8_extend_low_i8x16(wasm_i32x4_splat(four_activations));
  return each<Ints>([&](int i) {
    const v128_t w = wasm_v128_load(weights + 16 * i);
    // two products of each row are summed by the instruction, the other two sums here
    const v128_t low = wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16(w), activations);
    const v128_t high = wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16(w), activations);
    const v128_t even = wasm_i32x4_shuffle(low, high, 0, 2, 4, 6);
    const v128_t odd = wasm_i32x4_shuffle(low, high, 1, 3, 5, 7);
    return wasm_i32x4_add(sums.v[i], wasm_i32x4_add(even, odd));
  });
}

}  // namespace
}  // namespace sunspring
