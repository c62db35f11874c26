// The products of matrix.h; compiled once for each instruction set, in its namespace
// SUNSPRING_LOOPS.
//
// Both factors are packed, in the order in which they are read (Goto & van de Geijn 2008, "Anatomy
// of high-performance matrix multiplication"): b as a whole, in panels of as many columns as fit the
// registers; of a, what is needed next, in blocks of as many rows, unless it can be read as it is.

#include "matrix.h"

#include <algorithm>
#include <cstring>

#include "engine/aligned.h"
#include "products.h"
#include "threads.h"

namespace sunspring {
namespace {

constexpr std::size_t kInnerOfChunk = 256;  // so that a panel's share stays in the L1 or L2 cache
constexpr std::size_t kRowsAtATime = 96;  // so that what a chunk reads of them stays in the L2 cache

constexpr std::size_t count_of(std::size_t size, std::size_t of) { return (size + of - 1) / of; }

constexpr std::size_t kBlocksAtATime = count_of(kRowsAtATime, kMostRows);

struct Packing {
  ProductShape shape;
  std::size_t inner;   // rounded up to whole groups
  std::size_t panels;  // of b
  std::size_t blocks;  // of rows of a

  explicit Packing(ProductShape given)
      : shape(given),
        inner(count_of(given.inner, kGroup) * kGroup),
        panels(count_of(given.columns, kWidth)),
        blocks(count_of(given.rows, kMostRows)) {}

  std::size_t panel_size() const { return inner * kWidth; }
};

std::size_t packed_size(ProductShape shape) {
  const Packing packing(shape);
  return packing.panels * packing.panel_size();
}

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

// A chunk of some blocks of rows of a: each block (inner of a chunk / kGroup, kMostRows, kGroup).
void pack_blocks(const Packing& packing, Matrix<Value> a, Range blocks, Range inner, Value* to) {
  constexpr std::size_t kBlock = kInnerOfChunk * kMostRows;
  if (inner.last > packing.shape.inner) {
    std::memset(static_cast<void*>(to), 0, blocks.size() * kBlock * sizeof(Value));
  }
  for (std::size_t each = inner.first; each < std::min(inner.last, packing.shape.inner); ++each) {
    const std::size_t place = each - inner.first;
    Value* at = to + place / kGroup * kMostRows * kGroup + place % kGroup;
    const Value* from = a.values + each * a.column_stride;
    for (std::size_t block = blocks.first; block < blocks.last; ++block, at += kBlock) {
      const std::size_t first = block * kMostRows;
      const std::size_t count = std::min(kMostRows, packing.shape.rows - first);
      for (std::size_t row = 0; row < count; ++row) {
        at[row * kGroup] = from[(first + row) * a.row_stride];
      }
    }
  }
}

class Multiplication {
 public:
  Multiplication(ProductShape shape, Matrix<Value> a, Matrix<Value> b, const float* bias,
                 Value* panels, float* result)
      : packing_(shape),
        a_(a),
        b_(b),
        bias_(bias),
        panels_(panels),
        result_(result),
        is_a_ready_(a.column_stride == 1 && shape.inner % kGroup == 0) {}

  // Pack a thread's share of b.
  void pack(const Member& member) const {
    const Range panels = share(packing_.panels, member);
    for (std::size_t panel = panels.first; panel < panels.last; ++panel) {
      pack_panel(packing_, b_, panel, panels_ + panel * packing_.panel_size());
    }
  }

  // A thread's share of the result: of its rows, or of its columns if there are more of these.
  void multiply(const Member& member) const {
    const bool is_wide = packing_.panels > packing_.blocks;
    const Range blocks = is_wide ? Range{0, packing_.blocks} : share(packing_.blocks, member);
    const Range panels = is_wide ? share(packing_.panels, member) : Range{0, packing_.panels};
    const Aligned<Value> packed(is_a_ready_ ? 0 : kBlocksAtATime * kMostRows * kInnerOfChunk);
    for (std::size_t first = blocks.first; first < blocks.last; first += kBlocksAtATime) {
      const Range some{first, std::min(first + kBlocksAtATime, blocks.last)};
      for (std::size_t begin = 0; begin < packing_.inner; begin += kInnerOfChunk) {
        const Range inner{begin, std::min(begin + kInnerOfChunk, packing_.inner)};
        if (!is_a_ready_) pack_blocks(packing_, a_, some, inner, packed.data());
        for (std::size_t panel = panels.first; panel < panels.last; ++panel) {
          for (std::size_t block = some.first; block < some.last; ++block) {
            const std::size_t row = block * kMostRows;
            const Value* ready = packed.data() + (block - first) * kMostRows * kInnerOfChunk;
            auto work = [&](std::size_t, auto count) { tile<count()>(ready, row, panel, inner); };
            dispatch(row, std::min(kMostRows, packing_.shape.rows - row), work,
                     std::make_integer_sequence<int, kMostRows>{});
          }
        }
      }
    }
  }

 private:
  template <int rows>
  void tile(const Value* packed, std::size_t first_row, std::size_t panel, Range inner) const {
    const std::size_t columns = packing_.shape.columns, first = panel * kWidth,
                      count = std::min(kWidth, columns - first);
    float sums[rows][kWidth];
    float* result = result_ + first_row * columns + first;
    for (int row = 0; row < rows; ++row) {
      if (inner.first > 0) {
        std::memcpy(sums[row], result + row * columns, count * sizeof(float));
      } else if (bias_) {
        std::memcpy(sums[row], bias_ + first, count * sizeof(float));
      } else {
        std::memset(sums[row], 0, sizeof sums[row]);
      }
    }
    const Value* weights = panels_ + panel * packing_.panel_size() + inner.first * kWidth;
    const Value* from = a_.values + first_row * a_.row_stride + inner.first;
    accumulate<rows>(sums[0], kWidth, is_a_ready_ ? from : packed,
                     is_a_ready_ ? a_.row_stride : kGroup, weights, inner.size() / kGroup,
                     is_a_ready_ ? kGroup : kMostRows * kGroup);
    for (int row = 0; row < rows; ++row) {
      std::memcpy(result + row * columns, sums[row], count * sizeof(float));
    }
  }

  const Packing packing_;
  const Matrix<Value> a_, b_;
  const float* const bias_;
  Value* const panels_;
  float* const result_;
  const bool is_a_ready_;
};

void multiply(ProductShape shape, Matrix<Value> a, Matrix<Value> b, const float* bias,
              Value* packed, float* result) {
  const Multiplication work(shape, a, b, bias, packed, result);
  in_team([&](const Member& member) {
    work.pack(member);
    meet(member);
    work.multiply(member);
  });
}

}  // namespace

namespace SUNSPRING_LOOPS {
extern const Product<Value> product;
const Product<Value> product = {packed_size, multiply};
}  // namespace SUNSPRING_LOOPS

}  // namespace sunspring
