// Products of rows of bfloat16 with packed weights, their sums in registers; for the loops of one
// instruction set.
//
// It stands in an unnamed namespace, as the loops themselves do: of functions that others can see,
// the linker would keep one copy for all instruction sets.

#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include "engine/range.h"

#include SUNSPRING_VECTORS

namespace sunspring {
namespace {

constexpr std::size_t kLanes = 16;                      // values of a vector
constexpr std::size_t kVectors = 4;                     // of a block's width
constexpr std::size_t kWidth = kVectors * kLanes;       // columns of a block
constexpr std::size_t kPanel = kWidth * 2;              // packed weights of one pair of inputs
constexpr int kMostRows = kBlocks * kTexts / kVectors;  // whose sums fit the registers

// sums (rows, 4 vectors) += inputs (rows, 2 pairs) · weights, packed (pairs, 4, 16, 2). `stride` is
// from row to row of the inputs.
template <int rows>
void multiply(Floats (&sums)[rows][kVectors], const bfloat16* inputs, std::size_t stride,
              const bfloat16* weights, std::size_t pairs, std::size_t pair_stride = 2) {
  for (std::size_t pair = 0; pair < pairs; ++pair, weights += kPanel) {
    Pairs columns[kVectors];
    for (std::size_t part = 0; part < kVectors; ++part) {
      columns[part] = load_pairs(weights + part * 2 * kLanes);
    }
    for (int row = 0; row < rows; ++row) {
      const Pairs input = fill_pair(inputs + row * stride + pair * pair_stride);
      for (std::size_t part = 0; part < kVectors; ++part) {
        sums[row][part] = dot(sums[row][part], input, columns[part]);
      }
    }
  }
}

// The same onto sums in memory, (rows, 64), `sums_stride` from row to row.
template <int rows>
void accumulate(float* sums_of, std::size_t sums_stride, const bfloat16* inputs, std::size_t stride,
                const bfloat16* weights, std::size_t pairs, std::size_t pair_stride = 2) {
  Floats sums[rows][kVectors];
  for (int row = 0; row < rows; ++row) {
    for (std::size_t part = 0; part < kVectors; ++part) {
      sums[row][part] = load(sums_of + row * sums_stride + part * kLanes);
    }
  }
  multiply<rows>(sums, inputs, stride, weights, pairs, pair_stride);
  for (int row = 0; row < rows; ++row) {
    for (std::size_t part = 0; part < kVectors; ++part) {
      store(sums[row][part], sums_of + row * sums_stride + part * kLanes);
    }
  }
}

// Call work(first row, rows as a compile-time constant) on pieces of a range that fit registers.
template <typename Work, int... sizes>
void dispatch(std::size_t first, std::size_t count, Work& work,
              std::integer_sequence<int, sizes...>) {
  ((count == sizes + 1 ? work(first, std::integral_constant<int, sizes + 1>{}) : void()), ...);
}

template <typename Work>
void for_row_blocks(Range rows, Work work) {
  const std::size_t blocks = (rows.size() + kMostRows - 1) / kMostRows;
  for (std::size_t block = 0; block < blocks; ++block) {
    const Range piece = share(rows.size(), block, blocks);
    dispatch(rows.first + piece.first, piece.size(), work,
             std::make_integer_sequence<int, kMostRows>{});
  }
}

}  // namespace
}  // namespace sunspring
