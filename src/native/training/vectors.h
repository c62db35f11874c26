// What the kernels share: sixteen values at a time, and products of bfloat16 in registers.
//
// Only for files that are compiled for AVX-512 and its bfloat16 products.

#pragma once

#include <immintrin.h>
#include <omp.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "bfloat16.h"

namespace sunspring {

constexpr std::size_t kLanes = 16;                   // floats of a register
constexpr std::size_t kRegisters = 4;                // of a block's width
constexpr std::size_t kWidth = kRegisters * kLanes;  // columns of a block
constexpr std::size_t kPanel = kWidth * 2;           // packed weights of one pair of inputs
constexpr int kMaxRows = 6;                          // 24 sums + 4 weights + 1 input of 32 registers

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

template <typename Value>
using Aligned = std::unique_ptr<Value[], Free>;

// Memory for some values, a multiple of 64 bytes, that begins with a cache line.
template <typename Value>
Aligned<Value> aligned(std::size_t count) {
  void* memory = std::aligned_alloc(64, count * sizeof(Value));
  if (!memory) throw std::bad_alloc();
  return Aligned<Value>(static_cast<Value*>(memory));
}

inline __m512 load(const bfloat16* from) {
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

inline void store(bfloat16* to, __m512 values) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(values)));
}

inline bfloat16 rounded(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return {static_cast<std::uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}

// e^x as 2^n 2^f with |f| ≤ 1/2: a polynomial for the fraction, an exponent for the rest.
inline __m512 exponential(__m512 x) {
  const __m512 limit = _mm512_set1_ps(87.0f);
  x = _mm512_max_ps(_mm512_min_ps(x, limit), _mm512_sub_ps(_mm512_setzero_ps(), limit));
  const __m512 scaled = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f));
  const __m512 whole = _mm512_roundscale_ps(scaled, _MM_FROUND_TO_NEAREST_INT);
  const __m512 fraction = _mm512_sub_ps(scaled, whole);
  __m512 power = _mm512_set1_ps(1.333356e-3f);
  for (float coefficient : {9.618129e-3f, 5.550411e-2f, 2.402265e-1f, 6.931472e-1f, 1.0f}) {
    power = _mm512_fmadd_ps(power, fraction, _mm512_set1_ps(coefficient));
  }
  return _mm512_scalef_ps(power, whole);
}

// sums (rows, 4 registers) += inputs (rows, 2 pairs) · weights, packed (pairs, 4, 16, 2). `stride` is
// from row to row of the inputs.
template <int rows>
void multiply(__m512 (&sums)[rows][kRegisters], const bfloat16* inputs, std::size_t stride,
              const bfloat16* weights, std::size_t pairs, std::size_t pair_stride = 2) {
  for (std::size_t pair = 0; pair < pairs; ++pair, weights += kPanel) {
    __m512bh columns[kRegisters];
    for (std::size_t part = 0; part < kRegisters; ++part) {
      columns[part] = reinterpret_cast<__m512bh>(_mm512_load_si512(weights + part * 2 * kLanes));
    }
    for (int row = 0; row < rows; ++row) {
      std::int32_t both;
      std::memcpy(&both, inputs + row * stride + pair * pair_stride, sizeof both);
      const __m512bh input = reinterpret_cast<__m512bh>(_mm512_set1_epi32(both));
      for (std::size_t part = 0; part < kRegisters; ++part) {
        sums[row][part] = _mm512_dpbf16_ps(sums[row][part], input, columns[part]);
      }
    }
  }
}

// The same onto sums in memory, (rows, 64), `sums_stride` from row to row.
template <int rows>
void accumulate(float* sums_of, std::size_t sums_stride, const bfloat16* inputs, std::size_t stride,
                const bfloat16* weights, std::size_t pairs, std::size_t pair_stride = 2) {
  __m512 sums[rows][kRegisters];
  for (int row = 0; row < rows; ++row) {
    for (std::size_t part = 0; part < kRegisters; ++part) {
      sums[row][part] = _mm512_loadu_ps(sums_of + row * sums_stride + part * kLanes);
    }
  }
  multiply<rows>(sums, inputs, stride, weights, pairs, pair_stride);
  for (int row = 0; row < rows; ++row) {
    for (std::size_t part = 0; part < kRegisters; ++part) {
      _mm512_storeu_ps(sums_of + row * sums_stride + part * kLanes, sums[row][part]);
    }
  }
}

struct Range {
  std::size_t begin, end;
};

// This thread's share of `total`.
inline Range share(std::size_t total) {
  const std::size_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
  return {total * thread / threads, total * (thread + 1) / threads};
}

// Call work(first row, rows as a compile-time constant) on pieces of a range that fit the registers.
template <typename Work, int... sizes>
void dispatch(std::size_t first, std::size_t count, Work& work,
              std::integer_sequence<int, sizes...>) {
  ((count == sizes + 1 ? work(first, std::integral_constant<int, sizes + 1>{}) : void()), ...);
}

template <typename Work>
void for_row_blocks(Range rows, Work work) {
  const std::size_t count = rows.end - rows.begin;
  const std::size_t blocks = (count + kMaxRows - 1) / kMaxRows;
  for (std::size_t block = 0; block < blocks; ++block) {
    const std::size_t first = count * block / blocks, next = count * (block + 1) / blocks;
    dispatch(rows.begin + first, next - first, work, std::make_integer_sequence<int, kMaxRows>{});
  }
}

}  // namespace sunspring
