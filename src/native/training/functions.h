// The functions of gates and scores, of sixteen values; for the loops of one instruction set.

#pragma once

#include SUNSPRING_VECTORS

namespace sunspring {
namespace {

inline Floats one() { return fill(1.0f); }
inline Floats negative(Floats x) { return fill(0.0f) - x; }

// e^x as 2^n 2^f with |f| ≤ 1/2: a polynomial for the fraction, an exponent for the rest.
inline Floats exponential(Floats x) {
  constexpr float kLimit = 87.0f;
  const Floats scaled = most(least(x, fill(kLimit)), fill(-kLimit)) * fill(1.44269504f);
  const Ints whole = nearest(scaled);
  const Floats fraction = scaled - floats(whole);
  Floats power = fill(1.333356e-3f);
  power = multiply_add(fill(9.618129e-3f), power, fraction);
  power = multiply_add(fill(5.550411e-2f), power, fraction);
  power = multiply_add(fill(2.402265e-1f), power, fraction);
  power = multiply_add(fill(6.931472e-1f), power, fraction);
  power = multiply_add(one(), power, fraction);
  return of_bits(bits(power) + up23(whole));
}

inline Floats sigmoid(Floats x) { return one() / (one() + exponential(negative(x))); }

inline Floats hyperbolic_tangent(Floats x) {
  return multiply_add(fill(-1.0f), fill(2.0f), sigmoid(x + x));
}

}  // namespace
}  // namespace sunspring
