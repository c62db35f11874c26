// Products of matrices: what a layer's inputs add to its gates, and the gradients of weights.
//
// They are large enough for the processor's peak, which the libraries behind PyTorch reach on some
// processors and far from reach on others.

#pragma once

#include <cstddef>

namespace sunspring {

// A matrix, or its transpose: from row to row and from column to column it is so many values.
template <typename Value>
struct Matrix {
  const Value* values;
  std::size_t row_stride, column_stride;
};

struct ProductShape {
  std::size_t rows, inner, columns;
};

template <typename Value>
struct Product {
  // How many values of memory a product needs, aligned to 64 bytes.
  std::size_t (*packed_size)(ProductShape shape);

  // result (rows, columns) = a (rows, inner) · b (inner, columns) + bias (columns), which may be
  // null; `packed` has the memory.
  void (*multiply)(ProductShape shape, Matrix<Value> a, Matrix<Value> b, const float* bias,
                   Value* packed, float* result);

  // The same, its result rounded to the format of the factors.
  void (*multiply_rounded)(ProductShape shape, Matrix<Value> a, Matrix<Value> b, const float* bias,
                           Value* packed, Value* result);
};

}  // namespace sunspring
