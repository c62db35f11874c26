// Sixteen values at a time on 64-bit ARM with NEON and its products of bytes (dot product).

#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace sunspring {
namespace {  // each instruction set has its own

constexpr const char* kName = "neon";
constexpr std::size_t kBlocks = 2, kTexts = 2;   // 16 of 32 registers for sums of the engine,
// 24 of training: so many vectors of so many rows
constexpr std::size_t kTileVectors = 1, kTileRows = 6;
inline bool is_supported() {
#if defined(__linux__)
  return getauxval(AT_HWCAP) & HWCAP_ASIMDDP;
#else
  return true;  // every Mac of this kind has it
#endif
}

struct Floats {
  float32x4_t v[4];
};
struct Ints {
  int32x4_t v[4];
};

template <typename Result, typename Operation>
inline Result each(Operation operation) {
  return {operation(0), operation(1), operation(2), operation(3)};
}

inline Floats load(const float* from) {
  return each<Floats>([=](int i) { return vld1q_f32(from + 4 * i); });
}
inline void store(const Floats& x, float* to) {
  for (int i = 0; i < 4; ++i) vst1q_f32(to + 4 * i, x.v[i]);
}
inline Floats fill(float x) {
  return each<Floats>([=](int) { return vdupq_n_f32(x); });
}
inline Ints load(const std::int32_t* from) {
  return each<Ints>([=](int i) { return vld1q_s32(from + 4 * i); });
}
inline Ints fill(std::int32_t x) {
  return each<Ints>([=](int) { return vdupq_n_s32(x); });
}

inline Floats operator+(const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return vaddq_f32(a.v[i], b.v[i]); });
}
inline Floats operator-(const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return vsubq_f32(a.v[i], b.v[i]); });
}
inline Floats operator*(const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return vmulq_f32(a.v[i], b.v[i]); });
}
inline Floats operator/(const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return vdivq_f32(a.v[i], b.v[i]); });
}
inline Floats least(const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return vminq_f32(a.v[i], b.v[i]); });
}
inline Floats most(const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return vmaxq_f32(a.v[i], b.v[i]); });
}

// sums + a · b, in one rounding where the processor has it: not the same bits everywhere.
inline Floats multiply_add(const Floats& sums, const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return vfmaq_f32(sums.v[i], a.v[i], b.v[i]); });
}

inline Floats floats(const Ints& x) {
  return each<Floats>([&](int i) { return vcvtq_f32_s32(x.v[i]); });
}
inline Ints nearest(const Floats& x) {  // halves to even
  return each<Ints>([&](int i) { return vcvtnq_s32_f32(x.v[i]); });
}
inline Ints bits(const Floats& x) {
  return each<Ints>([&](int i) { return vreinterpretq_s32_f32(x.v[i]); });
}
inline Floats of_bits(const Ints& x) {
  return each<Floats>([&](int i) { return vreinterpretq_f32_s32(x.v[i]); });
}
inline Ints operator+(const Ints& a, const Ints& b) {
  return each<Ints>([&](int i) { return vaddq_s32(a.v[i], b.v[i]); });
}
inline Ints operator-(const Ints& a, const Ints& b) {
  return each<Ints>([&](int i) { return vsubq_s32(a.v[i], b.v[i]); });
}
inline Ints up23(const Ints& x) {
  return each<Ints>([&](int i) { return vshlq_n_s32(x.v[i], 23); });
}
inline Ints down23(const Ints& x) {
  return each<Ints>([&](int i) { return vshrq_n_s32(x.v[i], 23); });
}

// Some of sixteen values.
struct Mask {
  uint32x4_t v[4];
};

inline Mask equal(const Ints& a, const Ints& b) {
  return each<Mask>([&](int i) { return vceqq_s32(a.v[i], b.v[i]); });
}
inline Mask mask_of(std::uint16_t bits) {
  constexpr std::uint32_t kPlaces[4] = {1, 2, 4, 8};
  const uint32x4_t places = vld1q_u32(kPlaces);
  return each<Mask>([=](int i) { return vtstq_u32(vdupq_n_u32(bits >> (4 * i)), places); });
}
// Of those a, of the others b.
inline Floats choose(const Mask& mask, const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return vbslq_f32(mask.v[i], a.v[i], b.v[i]); });
}

// Activations are kept as they are.
constexpr std::int32_t kZero = 0;

// Keep sixteen activations from -127 to 127.
inline void store(const Ints& x, std::int8_t* to) {
  const int16x8_t low = vcombine_s16(vmovn_s32(x.v[0]), vmovn_s32(x.v[1]));
  const int16x8_t high = vcombine_s16(vmovn_s32(x.v[2]), vmovn_s32(x.v[3]));
  vst1q_s8(to, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
}

// Add to sixteen rows' sums their products with four activations; `weights` are 16 rows × 4.
inline Ints dot(const Ints& sums, const std::int8_t* weights, std::int32_t four_activations) {
  const int8x16_t activations = vreinterpretq_s8_s32(vdupq_n_s32(four_activations));
  return each<Ints>([&](int i) {
    return vdotq_s32(sums.v[i], vld1q_s8(weights + 16 * i), activations);
  });
}

}  // namespace
}  // namespace sunspring
