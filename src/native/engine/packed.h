// A matrix of kernels.h and its memory.

#pragma once

#include "aligned.h"
#include "kernels.h"

namespace sunspring {

constexpr std::size_t padded(std::size_t size) { return (size + kRows - 1) / kRows * kRows; }

// Zeros at first.
class Packed {
 public:
  Packed(std::size_t rows, std::size_t columns, bool as_bytes);
  Packed(const Packed& other);
  Packed(Packed&&) = default;
  Packed& operator=(const Packed& other);

  const Matrix& matrix() const { return matrix_; }
  bool has_bytes() const { return matrix_.scales; }
  float& at(std::size_t row, std::size_t column) {  // of floats
    const Place place = place_of(row / kRows, matrix_.blocks, matrix_.columns);
    return floats_[(place.first + column * place.step) * kRows + row % kRows];
  }

 private:
  void point_at_memory();

  Aligned<std::int8_t> bytes_;
  Aligned<float> floats_, scales_;
  Aligned<std::int32_t> offsets_;
  Matrix matrix_;
};

}  // namespace sunspring
