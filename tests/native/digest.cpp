// A digest of what the kernels of one instruction set compute in 8 bits, for builds that have no
// files: it must be the same for all. `digest` is called from JavaScript, or `main` prints it.

#include <cstdint>
#include <cstdio>

#include "engine/kernels.h"

namespace sunspring::kernels {
extern const Kernels SUNSPRING_KERNELS;
}

namespace {

using namespace sunspring;

constexpr std::size_t kUnits = 48, kRowsOfAll = 4 * kUnits, kColumns = 32;

std::uint32_t state = 1;
int next_byte() {  // from -127 to 127
  state = state * 1664525u + 1013904223u;
  return static_cast<int>((state >> 16) % 255) - 127;
}

std::uint32_t result = 2166136261u;
template <typename Value, std::size_t size>
void take_in(const Value (&values)[size]) {
  for (const Value& value : values) {
    std::uint32_t bits = 0;
    __builtin_memcpy(&bits, &value, sizeof value);
    result = (result ^ bits) * 16777619u;
  }
}

alignas(64) std::int8_t weights[kRowsOfAll * kColumns];
alignas(64) float scales[kRowsOfAll], start[kRowsOfAll], gates[kRowsOfAll];
alignas(64) std::int32_t offsets[kRowsOfAll];
alignas(64) float cell[kUnits], output[kUnits], vector[kColumns];
alignas(64) std::int8_t bytes[kColumns], output_bytes[kUnits];

}  // namespace

extern "C" std::uint32_t digest() {
  const Kernels& kernels = sunspring::kernels::SUNSPRING_KERNELS;
  const Matrix matrix = {weights, scales, offsets, kRowsOfAll / kRows, kColumns};
  for (std::size_t row = 0; row < kRowsOfAll; ++row) {
    std::int8_t values[kColumns];
    for (std::int8_t& value : values) value = static_cast<std::int8_t>(next_byte());
    kernels.pack_row(values, matrix, row);
    scales[row] = static_cast<float>(next_byte()) / 4096;
    start[row] = static_cast<float>(next_byte()) / 64;
  }
  for (int step = 0; step < 20; ++step) {
    for (float& value : vector) value = static_cast<float>(next_byte()) / 7;
    const Vector rounded = {bytes, kernels.quantize(vector, kColumns, bytes)};
    const float* starts = start;
    float* outs = gates;
    kernels.multiply(matrix, 0, matrix.blocks, &rounded, &starts, &outs, 1);
    take_in(gates);
    kernels.lstm(gates, kUnits, cell, output, output_bytes);
    take_in(cell);
    take_in(output);
    kernels.gru(gates, start, kUnits, output, output_bytes);
    take_in(output);
    kernels.rnn(gates, kUnits, output, output_bytes);
    take_in(output);
    kernels.exponentials(gates, kRowsOfAll, kernels.largest(gates, kRowsOfAll), 0.7f);
    take_in(gates);
    kernels.logarithms(gates, kRowsOfAll);
    kernels.accumulate(gates, 0.5f, start, kernels.dot(gates, start, kRowsOfAll), kRowsOfAll);
    take_in(gates);
  }
  return result;
}

#ifndef __wasm__
int main() { std::printf("%u\n", digest()); }
#endif
