// Sixteen values at a time on any processor.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sunspring {
namespace {  // each instruction set has its own

constexpr const char* kName = "scalar";
constexpr std::size_t kBlocks = 1, kTexts = 1;
constexpr std::size_t kTileVectors = 1, kTileRows = 1;
inline bool is_supported() { return true; }

struct Floats {
  float v[16];
};
struct Ints {
  std::int32_t v[16];
};

template <typename Result, typename Operation>
inline Result each(Operation operation) {
  Result result;
  for (int i = 0; i < 16; ++i) result.v[i] = operation(i);
  return result;
}

inline Floats load(const float* from) {
  return each<Floats>([=](int i) { return from[i]; });
}
inline void store(const Floats& x, float* to) { std::copy_n(x.v, 16, to); }
inline Floats fill(float x) {
  return each<Floats>([=](int) { return x; });
}
inline Ints load(const std::int32_t* from) {
  return each<Ints>([=](int i) { return from[i]; });
}
inline Ints fill(std::int32_t x) {
  return each<Ints>([=](int) { return x; });
}

inline Floats operator+(const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return a.v[i] + b.v[i]; });
}
inline Floats operator-(const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return a.v[i] - b.v[i]; });
}
inline Floats operator*(const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return a.v[i] * b.v[i]; });
}
inline Floats operator/(const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return a.v[i] / b.v[i]; });
}
inline Floats least(const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Floats most(const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}

// sums + a · b, in one rounding where the processor has it: not the same bits everywhere.
inline Floats multiply_add(const Floats& sums, const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return sums.v[i] + a.v[i] * b.v[i]; });
}

inline Floats floats(const Ints& x) {
  return each<Floats>([&](int i) { return static_cast<float>(x.v[i]); });
}
inline Ints nearest(const Floats& x) {  // halves to even; anything for what no 32 bits can hold
  return each<Ints>([&](int i) {
    const bool fits = x.v[i] > -2e9f && x.v[i] < 2e9f;
    return fits ? static_cast<std::int32_t>(std::nearbyint(x.v[i])) : 0;
  });
}
inline Ints bits(const Floats& x) {
  Ints result;
  std::memcpy(&result, &x, sizeof x);
  return result;
}
inline Floats of_bits(const Ints& x) {
  Floats result;
  std::memcpy(&result, &x, sizeof x);
  return result;
}
inline Ints operator+(const Ints& a, const Ints& b) {
  return each<Ints>([&](int i) { return a.v[i] + b.v[i]; });
}
inline Ints operator-(const Ints& a, const Ints& b) {
  return each<Ints>([&](int i) { return a.v[i] - b.v[i]; });
}
inline Ints up23(const Ints& x) {
  return each<Ints>([&](int i) { return static_cast<std::int32_t>(static_cast<std::uint32_t>(x.v[i]) << 23); });
}
inline Ints down23(const Ints& x) {
  return each<Ints>([&](int i) { return x.v[i] >> 23; });  // with the sign, on every compiler
}

// Some of sixteen values.
using Mask = std::uint16_t;

inline Mask mask_of(std::uint16_t bits) { return bits; }
inline Mask equal(const Ints& a, const Ints& b) {
  Mask mask = 0;
  for (int i = 0; i < 16; ++i) mask |= static_cast<Mask>((a.v[i] == b.v[i]) << i);
  return mask;
}
// Of those a, of the others b.
inline Floats choose(Mask mask, const Floats& a, const Floats& b) {
  return each<Floats>([&](int i) { return mask >> i & 1 ? a.v[i] : b.v[i]; });
}

// Activations are kept as they are.
constexpr std::int32_t kZero = 0;

// Keep sixteen activations from -127 to 127.
inline void store(const Ints& x, std::int8_t* to) {
  for (int i = 0; i < 16; ++i) to[i] = static_cast<std::int8_t>(x.v[i]);
}

// Add to sixteen rows' sums their products with four activations; `weights` are 16 rows × 4.
inline Ints dot(Ints sums, const std::int8_t* weights, std::int32_t four_activations) {
  std::int8_t activations[4];
  std::memcpy(activations, &four_activations, 4);
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < 4; ++k) {
      sums.v[i] += weights[4 * i + k] * activations[k];
    }
  }
  return sums;
}

}  // namespace
}  // namespace sunspring
