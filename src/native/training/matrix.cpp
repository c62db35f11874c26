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

constexpr std::size_t kBlocksAtATime = 8;  // so that what is read of a stays in the L2 cache
constexpr std::size_t kRowsAtATime = kBlocksAtATime * kMostRows;
// Room for the vectors of rows, of which some reach beyond them.
constexpr std::size_t kVectorsOfRows = count_of(kRowsAtATime, kLanes);

struct Packing {
  ProductShape shape;
  std::size_t groups;  // of the inner dimension
  std::size_t panels;  // of b
  std::size_t blocks;  // of rows of a

  explicit Packing(ProductShape given)
      : shape(given),
        groups(count_of(given.inner, kGroup)),
        panels(count_of(given.columns, kWidth)),
        blocks(count_of(given.rows, kMostRows)) {}

  std::size_t panel_size() const { return groups * kPanel; }
  std::size_t whole_groups() const { return shape.inner / kGroup; }
};

std::size_t packed_size(ProductShape shape) {
  const Packing packing(shape);
  return packing.panels * packing.panel_size();
}

// One group of values, which are `stride` apart; zeros from `count` on.
void copy_group(const Value* from, std::size_t stride, std::size_t count, Value* to) {
  for (std::size_t place = 0; place < kGroup; ++place) {
    to[place] = place < count ? from[place * stride] : Value{};
  }
}

// A panel of b: (groups, kWidth, kGroup), zeros beyond the last column and the last row.
void pack_panel(const Packing& packing, Matrix<Value> b, std::size_t panel, Value* to) {
  const std::size_t first = panel * kWidth, inner = packing.shape.inner,
                    columns = std::min(kWidth, packing.shape.columns - first);
  const auto at = [&](std::size_t group, std::size_t column) {
    return b.values + group * kGroup * b.row_stride + (first + column) * b.column_stride;
  };
  std::size_t done = 0;  // groups
  if (columns < kWidth) {
    std::memset(static_cast<void*>(to), 0, packing.panel_size() * sizeof(Value));
  } else if (b.column_stride == 1) {
    done = packing.whole_groups();
    pack(at(0, 0), b.row_stride, done, kWidth, to);
  }
  constexpr std::size_t kStretch = 64;  // groups, so that the lines written stay in the cache
  for (; done < packing.groups; done = std::min(done + kStretch, packing.groups)) {
    const std::size_t end = std::min(done + kStretch, packing.groups);
    for (std::size_t column = 0; column < columns; ++column) {
      const Value* from = at(0, column);
      Value* into = to + column * kGroup;
      std::size_t group = done;
      if (b.row_stride == 1) {
        for (; group < std::min(end, packing.whole_groups()); ++group) {
          std::memcpy(into + group * kPanel, from + group * kGroup, kGroup * sizeof(Value));
        }
      }
      for (; group < end; ++group) {
        copy_group(from + group * kGroup * b.row_stride, b.row_stride, inner - group * kGroup,
                   into + group * kPanel);
      }
    }
  }
}

// Some blocks of rows of a: each (groups, kMostRows, kGroup), zeros beyond the last column.
void pack_blocks(const Packing& packing, Matrix<Value> a, Range blocks, Value* to) {
  const std::size_t first = blocks.first * kMostRows, inner = packing.shape.inner,
                    rows = std::min(blocks.last * kMostRows, packing.shape.rows) - first,
                    block_size = packing.groups * kMostRows * kGroup;
  for (std::size_t group = 0; group < packing.groups; ++group) {
    alignas(64) Value groups[kVectorsOfRows * kLanes * kGroup];
    const Value* from = a.values + group * kGroup * a.column_stride + first * a.row_stride;
    std::size_t row = 0;
    if (a.row_stride == 1 && group < packing.whole_groups()) {
      for (; row + kLanes <= rows; row += kLanes) {
        store_groups(gather_groups(from + row, a.column_stride), groups + row * kGroup);
      }
    }
    for (; row < rows; ++row) {
      copy_group(from + row * a.row_stride, a.column_stride, inner - group * kGroup,
                 groups + row * kGroup);
    }
    for (std::size_t block = 0; block < blocks.size(); ++block) {
      std::memcpy(static_cast<void*>(to + block * block_size + group * kMostRows * kGroup),
                  groups + block * kMostRows * kGroup, kMostRows * kGroup * sizeof(Value));
    }
  }
}

template <typename Result>
class Multiplication {
 public:
  Multiplication(ProductShape shape, Matrix<Value> a, Matrix<Value> b, const float* bias,
                 Value* panels, Result* result)
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
    const std::size_t block_size = packing_.groups * kMostRows * kGroup;
    const Aligned<Value> packed(is_a_ready_ ? 0 : kBlocksAtATime * block_size);
    for (std::size_t first = blocks.first; first < blocks.last; first += kBlocksAtATime) {
      const Range some{first, std::min(first + kBlocksAtATime, blocks.last)};
      if (!is_a_ready_) pack_blocks(packing_, a_, some, packed.data());
      for (std::size_t panel = panels.first; panel < panels.last; ++panel) {
        for (std::size_t block = some.first; block < some.last; ++block) {
          const Value* ready = packed.data() + (block - first) * block_size;
          auto work = [&](std::size_t row, auto count) { tile<count()>(ready, row, panel); };
          const std::size_t row = block * kMostRows;
          dispatch(row, std::min(kMostRows, packing_.shape.rows - row), work,
                   std::make_integer_sequence<int, kMostRows>{});
        }
      }
    }
  }

 private:
  template <int rows>
  void tile(const Value* packed, std::size_t first_row, std::size_t panel) const {
    const std::size_t columns = packing_.shape.columns, first = panel * kWidth,
                      count = std::min(kWidth, columns - first);
    alignas(64) float sums[rows][kWidth] = {};
    if (bias_) {
      for (auto& row : sums) std::memcpy(row, bias_ + first, count * sizeof(float));
    }
    const Value* weights = panels_ + panel * packing_.panel_size();
    auto work = [&](std::size_t, auto vectors) {
      if (is_a_ready_) {
        accumulate<rows, vectors()>(sums[0], kWidth, a_.values + first_row * a_.row_stride,
                                    a_.row_stride, weights, packing_.groups, kGroup);
      } else {
        accumulate<rows, vectors()>(sums[0], kWidth, packed, kGroup, weights, packing_.groups,
                                    kMostRows * kGroup);
      }
    };
    dispatch(0, count_of(count, kLanes), work, std::make_integer_sequence<int, kTileVectors>{});
    for (int row = 0; row < rows; ++row) {
      Result rounded[kWidth];
      for (std::size_t place = 0; place < kWidth; place += kLanes) {
        store(load(sums[row] + place), rounded + place);
      }
      std::memcpy(static_cast<void*>(result_ + (first_row + row) * columns + first), rounded,
                  count * sizeof(Result));
    }
  }

  const Packing packing_;
  const Matrix<Value> a_, b_;
  const float* const bias_;
  Value* const panels_;
  Result* const result_;
  const bool is_a_ready_;
};

template <typename Result>
void multiply(ProductShape shape, Matrix<Value> a, Matrix<Value> b, const float* bias,
              Value* packed, Result* result) {
  const Multiplication<Result> work(shape, a, b, bias, packed, result);
  in_team([&](const Member& member) {
    work.pack(member);
    meet(member);
    work.multiply(member);
  });
}

}  // namespace

namespace SUNSPRING_LOOPS {
extern const Product<Value> product;
const Product<Value> product = {packed_size, multiply<float>, multiply<Value>};
}  // namespace SUNSPRING_LOOPS

}  // namespace sunspring
