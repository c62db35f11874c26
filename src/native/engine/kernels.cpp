// The kernels of kernels.h; compiled once for each instruction set, with its header in
// SUNSPRING_VECTORS. Nothing of the standard library is used that could be shared with code for
// another processor.

#include <cstring>
#include <utility>

#include "kernels.h"

#include SUNSPRING_VECTORS

namespace sunspring {
namespace {

Floats one() { return fill(1.0f); }
Floats within(Floats x, float limit) { return least(most(x, fill(-limit)), fill(limit)); }

constexpr float kLog2OfE = 1.442695041f;

// 2^x for x from -125 to 125: 2^n · 2^f with f from -½ to ½, and a polynomial of f whose largest
// relative error, 9e-8, is the least that one of its degree can have.
Floats power_of_two(Floats x) {
  const Ints n = nearest(x);
  const Floats f = x - floats(n);
  Floats p = fill(1.326472877e-3f);
  p = p * f + fill(9.671513183e-3f);
  p = p * f + fill(5.550733744e-2f);
  p = p * f + fill(2.402224208e-1f);
  p = p * f + fill(6.931469776e-1f);
  p = p * f + one();
  return of_bits(bits(p) + up23(n));
}

// ln(x) for positive normal x: x = 2^n · m, and a polynomial of m − 1 (Cephes, logf).
Floats logarithm(Floats x) {
  const Ints n = down23(bits(x) - fill(0x3F3504F3));  // so that m is from √½ to √2
  const Floats m = of_bits(bits(x) - up23(n)) - one(), square = m * m, whole = floats(n);
  Floats p = fill(7.0376836292e-2f);
  p = p * m + fill(-1.1514610310e-1f);
  p = p * m + fill(1.1676998740e-1f);
  p = p * m + fill(-1.2420140846e-1f);
  p = p * m + fill(1.4249322787e-1f);
  p = p * m + fill(-1.6668057665e-1f);
  p = p * m + fill(2.0000714765e-1f);
  p = p * m + fill(-2.4999993993e-1f);
  p = p * m + fill(3.3333331174e-1f);
  p = p * m * square + whole * fill(-2.12194440e-4f);
  return (m + (p - square * fill(0.5f))) + whole * fill(0.693359375f);
}

// exp(−rate · x), such that products of three of them stay finite.
Floats decay(Floats x, float rate = 1) {
  return power_of_two(within(x * fill(-kLog2OfE * rate), 41.0f));
}

Floats sigmoid(Floats x) { return one() / (one() + decay(x)); }

// sigmoid(gate) · tanh(x) with one division.
Floats gated(Floats gate, Floats x) {
  const Floats e = decay(x, 2);
  return (one() - e) / ((one() + decay(gate)) * (one() + e));
}

Floats hyperbolic_tangent(Floats x) {
  const Floats e = decay(x, 2);
  return (one() - e) / (one() + e);
}

template <typename Operation>
float fold(Floats x, Operation operation) {
  float values[kRows];
  store(x, values);
  for (std::size_t half = kRows / 2; half; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) values[i] = operation(values[i], values[i + half]);
  }
  return values[0];
}

float sum_of(Floats x) {
  return fold(x, [](float a, float b) { return a + b; });
}
float largest_of(Floats x) {
  return fold(x, [](float a, float b) { return a > b ? a : b; });
}

// Write outputs of a layer in both of their forms.
void put(Floats output, float* values, std::int8_t* bytes) {
  store(output, values);
  store(nearest(output * fill(kUnit)), bytes);
}

void lstm(const float* gates, std::size_t units, float* cell, float* output, std::int8_t* bytes) {
  for (std::size_t unit = 0; unit < units; unit += kRows, gates += 4 * kRows) {
    const Floats input = load(gates), forget = load(gates + kRows);
    const Floats candidate = load(gates + 2 * kRows), shown = load(gates + 3 * kRows);
    // sigmoid(forget) · cell + sigmoid(input) · tanh(candidate) with one division
    const Floats e = decay(candidate, 2), forgotten = one() + decay(forget);
    const Floats taken = (one() + decay(input)) * (one() + e);
    const Floats sum =
        (load(cell + unit) * taken + (one() - e) * forgotten) / (forgotten * taken);
    store(sum, cell + unit);
    put(gated(shown, sum), output + unit, bytes + unit);
  }
}

void gru(const float* input, const float* recurrent, std::size_t units, float* output,
         std::int8_t* bytes) {
  for (std::size_t unit = 0; unit < units; unit += kRows) {
    const Floats reset = sigmoid(load(input) + load(recurrent));
    const Floats update = sigmoid(load(input + kRows) + load(recurrent + kRows));
    const Floats candidate =
        hyperbolic_tangent(load(input + 2 * kRows) + reset * load(recurrent + 2 * kRows));
    put(candidate + update * (load(output + unit) - candidate), output + unit, bytes + unit);
    input += 3 * kRows, recurrent += 3 * kRows;
  }
}

void rnn(const float* gates, std::size_t units, float* output, std::int8_t* bytes) {
  for (std::size_t unit = 0; unit < units; unit += kRows) {
    put(hyperbolic_tangent(load(gates + unit)), output + unit, bytes + unit);
  }
}

void squash(float* values, std::size_t size) {
  for (std::size_t i = 0; i < size; i += kRows) {
    store(hyperbolic_tangent(load(values + i)), values + i);
  }
}

void logarithms(float* values, std::size_t size) {
  for (std::size_t i = 0; i < size; i += kRows) store(logarithm(load(values + i)), values + i);
}

// exp(factor · (values − largest)) in place, at least 2e-38; gives their sum.
float exponentials(float* values, std::size_t size, float largest, float factor) {
  const Floats rate = fill(factor * kLog2OfE);
  Floats sum = fill(0.0f);
  for (std::size_t i = 0; i < size; i += kRows) {
    const Floats x = power_of_two(within((load(values + i) - fill(largest)) * rate, 125.0f));
    store(x, values + i);
    sum = sum + x;
  }
  return sum_of(sum);
}

float largest(const float* values, std::size_t size) {
  Floats result = load(values);
  for (std::size_t i = kRows; i < size; i += kRows) result = most(result, load(values + i));
  return largest_of(result);
}

float dot(const float* a, const float* b, std::size_t size) {
  Floats sum = fill(0.0f);
  for (std::size_t i = 0; i < size; i += kRows) sum = sum + load(a + i) * load(b + i);
  return sum_of(sum);
}

// sums = decay · sums + weight · values
void accumulate(float* sums, float decay, const float* values, float weight, std::size_t size) {
  for (std::size_t i = 0; i < size; i += kRows) {
    store(load(sums + i) * fill(decay) + load(values + i) * fill(weight), sums + i);
  }
}

void scale(const float* values, float factor, float* to, std::size_t size) {
  for (std::size_t i = 0; i < size; i += kRows) store(load(values + i) * fill(factor), to + i);
}

// Round to bytes of which the largest is 127; gives their scale.
float quantize(const float* values, std::size_t size, std::int8_t* bytes) {
  Floats peaks = fill(0.0f);
  for (std::size_t i = 0; i < size; i += kRows) {
    const Floats x = load(values + i);
    peaks = most(peaks, most(x, fill(0.0f) - x));
  }
  const float peak = largest_of(peaks), factor = peak > 0 ? kUnit / peak : 0.0f;
  for (std::size_t i = 0; i < size; i += kRows) {
    store(nearest(load(values + i) * fill(factor)), bytes + i);
  }
  return peak / kUnit;
}

void put_row(const std::int8_t* values, std::int32_t zero, const Matrix& matrix, std::size_t row) {
  const Place place = place_of(row / kRows, matrix.blocks, matrix.columns / kBytes);
  auto* to = static_cast<std::int8_t*>(matrix.weights) + place.first * kRows * kBytes +
             row % kRows * kBytes;
  std::int32_t sum = 0;
  for (std::size_t column = 0; column < matrix.columns; ++column) {
    const auto value = static_cast<std::int8_t>(values[column] - zero);
    to[column / kBytes * place.step * kRows * kBytes + column % kBytes] = value;
    sum += value;
  }
  matrix.offsets[row] = -kZero * sum;
}

void pack_row(const std::int8_t* values, const Matrix& matrix, std::size_t row) {
  put_row(values, 0, matrix, row);
}

void keep_row(const std::int8_t* activations, const Matrix& matrix, std::size_t row) {
  put_row(activations, kZero, matrix, row);
}

std::int32_t four_bytes(const void* values, std::size_t four) {
  std::int32_t result;
  std::memcpy(&result, static_cast<const std::int8_t*>(values) + four * kBytes, kBytes);
  return result;
}

// Calls f(0), f(1), … f(count − 1), written out: what stands in arrays between the calls can then be
// kept in registers, which compilers do not do for loops.
template <typename Function, std::size_t... indices>
inline void call_each(Function f, std::index_sequence<indices...>) {
  (f(indices), ...);
}
template <std::size_t count, typename Function>
inline void times(Function f) {
  call_each(f, std::make_index_sequence<count>());
}

// A few blocks of a panel times a few vectors, all sums in registers.
template <std::size_t blocks, std::size_t texts>
void multiply_bytes(const Matrix& matrix, std::size_t first, const Vector* vectors,
                    const float* const* start, float* const* out) {
  const std::size_t fours = matrix.columns / kBytes;
  const Place place = place_of(first, matrix.blocks, fours);
  const auto* weights =
      static_cast<const std::int8_t*>(matrix.weights) + place.first * kRows * kBytes;
  Ints sums[texts][blocks];
  times<texts>([&](std::size_t text) {
    times<blocks>([&](std::size_t block) {
      sums[text][block] = load(matrix.offsets + (first + block) * kRows);
    });
  });
  for (std::size_t four = 0; four < fours; ++four, weights += place.step * kRows * kBytes) {
    times<texts>([&](std::size_t text) {
      const std::int32_t activations = four_bytes(vectors[text].values, four);
      times<blocks>([&](std::size_t block) {
        sums[text][block] =
            dot(sums[text][block], weights + block * kRows * kBytes, activations);
      });
    });
  }
  times<blocks>([&](std::size_t block) {
    const std::size_t row = (first + block) * kRows;
    const Floats scales = load(matrix.scales + row);
    times<texts>([&](std::size_t text) {
      const Floats product = floats(sums[text][block]) * (scales * fill(vectors[text].scale));
      store(load(start[text] + row) + product, out[text] + row);
    });
  });
}

template <std::size_t blocks, std::size_t texts>
void multiply_floats(const Matrix& matrix, std::size_t first, const Vector* vectors,
                     const float* const* start, float* const* out) {
  const Place place = place_of(first, matrix.blocks, matrix.columns);
  const float* weights = static_cast<const float*>(matrix.weights) + place.first * kRows;
  Floats sums[texts][blocks];
  times<texts>([&](std::size_t text) {
    times<blocks>([&](std::size_t block) {
      sums[text][block] = load(start[text] + (first + block) * kRows);
    });
  });
  for (std::size_t column = 0; column < matrix.columns; ++column, weights += place.step * kRows) {
    times<texts>([&](std::size_t text) {
      const Floats x = fill(static_cast<const float*>(vectors[text].values)[column]);
      times<blocks>([&](std::size_t block) {
        sums[text][block] = multiply_add(sums[text][block], load(weights + block * kRows), x);
      });
    });
  }
  times<texts>([&](std::size_t text) {
    times<blocks>([&](std::size_t block) {
      store(sums[text][block], out[text] + (first + block) * kRows);
    });
  });
}

// All vectors, as many at once as registers hold.
template <std::size_t blocks, std::size_t texts>
void multiply_texts(const Matrix& matrix, std::size_t first, const Vector* vectors,
                    const float* const* start, float* const* out, std::size_t count) {
  for (; count >= texts; vectors += texts, start += texts, out += texts, count -= texts) {
    if (matrix.scales) {
      multiply_bytes<blocks, texts>(matrix, first, vectors, start, out);
    } else {
      multiply_floats<blocks, texts>(matrix, first, vectors, start, out);
    }
  }
  if constexpr (texts > 1) {
    if (count) multiply_texts<blocks, texts / 2>(matrix, first, vectors, start, out, count);
  }
}

void multiply(const Matrix& matrix, std::size_t first, std::size_t last, const Vector* vectors,
              const float* const* start, float* const* out, std::size_t texts) {
  for (std::size_t block = first; block < last;) {
    if (block % kBlocks == 0 && last - block >= kBlocks) {  // of one panel
      multiply_texts<kBlocks, kTexts>(matrix, block, vectors, start, out, texts);
      block += kBlocks;
    } else {
      multiply_texts<1, kTexts>(matrix, block, vectors, start, out, texts);
      ++block;
    }
  }
}

}  // namespace

namespace kernels {
extern const Kernels SUNSPRING_KERNELS;
const Kernels SUNSPRING_KERNELS = {
    kName, is_supported, pack_row, keep_row, multiply, lstm, gru, rnn, squash, logarithms,
    exponentials, largest, dot, accumulate, scale, quantize,
};
}  // namespace kernels

}  // namespace sunspring
