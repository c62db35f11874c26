// The products of matrix.h; compiled once for each instruction set, in its namespace
// SUNSPRING_LOOPS.
//
// Both factors are packed, in the order in which they are read (Goto & van de Geijn 2008, "Anatomy of
// high-performance matrix multiplication"): of b, panels of as many columns as fit the registers; of
// a, blocks of as many rows, unless its rows can be read where they are.

#include "matrix.h"

#include <algorithm>
#include <cstring>

#include "products.h"
#include "threads.h"

namespace sunspring {
namespace {

constexpr std::size_t kInnerOfChunk = 256;  // so that a panel's share stays in the L1 or L2 cache
constexpr std::size_t kRowsAtATime = 96;  // so that what a chunk reads of them stays in the L2 cache

constexpr std::size_t blocks(std::size_t size, std::size_t of) { return (size + of - 1) / of; }

constexpr std::size_t kBlocksAtATime = blocks(kRowsAtATime, kMostRows);

struct Packing {
  ProductShape shape;
  std::size_t inner;    // rounded up to whole groups
  std::size_t panels;   // of b
  std::size_t row_blocks;

  explicit Packing(ProductShape given)
      : shape(given),
        inner(blocks(given.inner, kGroup) * kGroup),
        panels(blocks(given.columns, kWidth)),
        row_blocks(blocks(given.rows, kMostRows)) {}

  std::size_t of_b() const { return panels * inner * kWidth; }
  std::size_t size() const { return of_b() + row_blocks * kMostRows * inner; }
};

std::size_t packed_size(ProductShape shape) { return Packing(shape).size(); }

// A panel of b: (inner / kGroup, kWidth, kGroup), zeros beyond the last column.
void pack_panel(const Packing& packing, Matrix<Value> b, std::size_t panel, Value* to) {
  const ProductShape& shape = packing.shape;
  const std::size_t first = panel * kWidth, count = std::min(kWidth, shape.columns - first);
  if (count < kWidth || packing.inner > shape.inner) {
    std::memset(static_cast<void*>(to), 0, packing.inner * kWidth * sizeof(Value));
  }
  const auto put = [&](std::size_t row, std::size_t column) {
    to[row / kGroup * kPanel + column * kGroup + row % kGroup] =
        b.values[row * b.row_stride + (first + column) * b.column_stride];
  };
  if (b.column_stride == 1) {
    for (std::size_t row = 0; row < shape.inner; ++row) {
      for (std::size_t column = 0; column < count; ++column) put(row, column);
    }
    return;
  }
  constexpr std::size_t kStretch = 64;  // of a column, so that the lines written stay in the cache
  for (std::size_t begin = 0; begin < shape.inner; begin += kStretch) {
    const std::size_t end = std::min(begin + kStretch, shape.inner);
    for (std::size_t column = 0; column < count; ++column) {
      for (std::size_t row = begin; row < end; ++row) put(row, column);
    }
  }
}

// Blocks of rows of a: each (inner / kGroup, kMostRows, kGroup).
void pack_blocks(const Packing& packing, Matrix<Value> a, Range blocks, Value* to) {
  const ProductShape& shape = packing.shape;
  const std::size_t size = packing.inner * kMostRows;
  if (packing.inner > shape.inner) {
    std::memset(static_cast<void*>(to), 0, blocks.size() * size * sizeof(Value));
  }
  for (std::size_t inner = 0; inner < shape.inner; ++inner) {
    Value* at = to + inner / kGroup * kMostRows * kGroup + inner % kGroup;
    const Value* from = a.values + inner * a.column_stride;
    for (std::size_t block = blocks.first; block < blocks.last; ++block, at += size) {
      const std::size_t first = block * kMostRows, count = std::min(kMostRows, shape.rows - first);
      for (std::size_t row = 0; row < count; ++row) {
        at[row * kGroup] = from[(first + row) * a.row_stride];
      }
    }
  }
}

class Multiplication {
 public:
  Multiplication(ProductShape shape, Matrix<Value> a, Matrix<Value> b, const float* bias,
                 Value* packed, float* result)
      : packing_(shape),
        a_(a),
        b_(b),
        bias_(bias),
        panels_(packed),
        blocks_(packed + packing_.of_b()),
        result_(result),
        is_a_packed_(a.column_stride != 1 || shape.inner % kGroup) {}

  // A thread's share of the packing.
  void pack() const {
    const Range panels = share(packing_.panels);
    for (std::size_t panel = panels.first; panel < panels.last; ++panel) {
      pack_panel(packing_, b_, panel, panels_ + panel * packing_.inner * kWidth);
    }
    if (!is_a_packed_) return;
    const Range blocks = share(packing_.row_blocks);
    for (std::size_t first = blocks.first; first < blocks.last; first += kBlocksAtATime) {
      const Range some{first, std::min(first + kBlocksAtATime, blocks.last)};
      pack_blocks(packing_, a_, some, blocks_ + first * packing_.inner * kMostRows);
    }
  }

  // A thread's share of the result: of its rows, or of its columns if there are more of these.
  void multiply() const {
    const bool is_wide = packing_.panels > packing_.row_blocks;
    const Range blocks = is_wide ? Range{0, packing_.row_blocks} : share(packing_.row_blocks);
    const Range panels = is_wide ? share(packing_.panels) : Range{0, packing_.panels};
    for (std::size_t first = blocks.first; first < blocks.last; first += kBlocksAtATime) {
      const Range some{first, std::min(first + kBlocksAtATime, blocks.last)};
      for (std::size_t inner = 0; inner < packing_.inner; inner += kInnerOfChunk) {
        for (std::size_t panel = panels.first; panel < panels.last; ++panel) {
          for (std::size_t block = some.first; block < some.last; ++block) {
            const std::size_t row = block * kMostRows;
            auto work = [&](std::size_t, auto count) { tile<count()>(block, panel, inner); };
            dispatch(row, std::min(kMostRows, packing_.shape.rows - row), work,
                     std::make_integer_sequence<int, kMostRows>{});
          }
        }
      }
    }
  }

 private:
  template <int rows>
  void tile(std::size_t block, std::size_t panel, std::size_t inner) const {
    const std::size_t columns = packing_.shape.columns, first = panel * kWidth,
                      count = std::min(kWidth, columns - first);
    const std::size_t groups = std::min(kInnerOfChunk, packing_.inner - inner) / kGroup;
    float sums[rows][kWidth];
    float* result = result_ + block * kMostRows * columns + first;
    for (int row = 0; row < rows; ++row) {
      const float* from = result + row * columns;
      if (inner > 0) {
        std::memcpy(sums[row], from, count * sizeof(float));
      } else if (bias_) {
        std::memcpy(sums[row], bias_ + first, count * sizeof(float));
      } else {
        std::memset(sums[row], 0, sizeof sums[row]);
      }
    }
    const Value* weights = panels_ + panel * packing_.inner * kWidth + inner * kWidth;
    if (is_a_packed_) {
      accumulate<rows>(sums[0], kWidth, blocks_ + (block * packing_.inner + inner) * kMostRows,
                       kGroup, weights, groups, kMostRows * kGroup);
    } else {
      accumulate<rows>(sums[0], kWidth, a_.values + block * kMostRows * a_.row_stride + inner,
                       a_.row_stride, weights, groups, kGroup);
    }
    for (int row = 0; row < rows; ++row) {
      std::memcpy(result + row * columns, sums[row], count * sizeof(float));
    }
  }

  const Packing packing_;
  const Matrix<Value> a_, b_;
  const float* const bias_;
  Value* const panels_;
  Value* const blocks_;
  float* const result_;
  const bool is_a_packed_;
};

void multiply(ProductShape shape, Matrix<Value> a, Matrix<Value> b, const float* bias,
              Value* packed, float* result) {
  const Multiplication work(shape, a, b, bias, packed, result);
#pragma omp parallel
  {
    work.pack();
#pragma omp barrier
    work.multiply();
  }
}

}  // namespace

namespace SUNSPRING_LOOPS {
extern const Product<Value> product;
const Product<Value> product = {packed_size, multiply};
}  // namespace SUNSPRING_LOOPS

}  // namespace sunspring
