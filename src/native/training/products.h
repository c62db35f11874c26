// Products of rows of values with packed weights, their sums in registers; for the loops of one
// instruction set and one number format.
//
// It stands in an unnamed namespace, as the loops themselves do: of functions that others can see,
// the linker would keep one copy for all instruction sets.

#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include "engine/range.h"

#include SUNSPRING_NUMBERS

namespace sunspring {
namespace {

constexpr std::size_t kLanes = 16;                     // values of a vector
constexpr std::size_t kWidth = kTileVectors * kLanes;  // columns of a panel of weights
constexpr std::size_t kPanel = kWidth * kGroup;        // its weights of one group of inputs
constexpr std::size_t kMostRows = kTileRows;           // whose sums fit the registers

// How many pieces of a size there are in all, the last perhaps not full.
constexpr std::size_t count_of(std::size_t all, std::size_t of) { return (all + of - 1) / of; }

// Pack some columns of rows into groups: to the weights of `accumulate`, or, seen the other way round,
// to its inputs.
void pack(const Value* rows, std::size_t stride, std::size_t groups, std::size_t columns,
          Value* packed) {
  for (std::size_t group = 0; group < groups; ++group, rows += kGroup * stride) {
    for (std::size_t place = 0; place < columns; place += kLanes, packed += kLanes * kGroup) {
      store_groups(gather_groups(rows + place, stride), packed);
    }
  }
}

// sums (rows, kWidth) += inputs (rows, groups) · weights, packed (groups, kWidth, kGroup); or only
// the first so many vectors of the columns.
//
// Args: `sums_stride` and `stride` from row to row, `group_stride` from group to group of the inputs.
//
// Not to be inlined: among other code, GCC keeps the sums in memory too, at half the speed.
template <int rows, int vectors = kTileVectors>
[[gnu::noinline]] void accumulate(float* sums_of, std::size_t sums_stride, const Value* inputs,
                                  std::size_t stride, const Value* weights, std::size_t groups,
                                  std::size_t group_stride) {
  Floats sums[rows][vectors];
  for (int row = 0; row < rows; ++row) {
    for (int part = 0; part < vectors; ++part) {
      sums[row][part] = load(sums_of + row * sums_stride + part * kLanes);
    }
  }
  for (std::size_t group = 0; group < groups; ++group, weights += kPanel) {
    Groups columns[vectors];
    for (int part = 0; part < vectors; ++part) {
      columns[part] = load_groups(weights + part * kLanes * kGroup);
    }
    for (int row = 0; row < rows; ++row) {
      const Groups input = fill_group(inputs + row * stride + group * group_stride);
      for (int part = 0; part < vectors; ++part) {
        sums[row][part] = dot(sums[row][part], input, columns[part]);
      }
    }
  }
  for (int row = 0; row < rows; ++row) {
    for (int part = 0; part < vectors; ++part) {
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
  const std::size_t blocks = count_of(rows.size(), kMostRows);
  for (std::size_t block = 0; block < blocks; ++block) {
    const Range piece = share(rows.size(), block, blocks);
    dispatch(rows.first + piece.first, piece.size(), work,
             std::make_integer_sequence<int, kMostRows>{});
  }
}

}  // namespace
}  // namespace sunspring
