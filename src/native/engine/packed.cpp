#include "packed.h"

namespace sunspring {

Packed::Packed(std::size_t rows, std::size_t columns, bool as_bytes)
    : bytes_(as_bytes ? padded(rows) * padded(columns) : 0),
      floats_(as_bytes ? 0 : padded(rows) * padded(columns)),
      scales_(as_bytes ? padded(rows) : 0),
      offsets_(as_bytes ? padded(rows) : 0),
      matrix_{nullptr, nullptr, nullptr, padded(rows) / kRows, padded(columns)} {
  point_at_memory();
}

Packed::Packed(const Packed& other)
    : bytes_(other.bytes_),
      floats_(other.floats_),
      scales_(other.scales_),
      offsets_(other.offsets_),
      matrix_(other.matrix_) {
  point_at_memory();
}

Packed& Packed::operator=(const Packed& other) {
  bytes_ = other.bytes_;
  floats_ = other.floats_;
  scales_ = other.scales_;
  offsets_ = other.offsets_;
  matrix_ = other.matrix_;
  point_at_memory();
  return *this;
}

void Packed::point_at_memory() {
  if (floats_.size()) {
    matrix_.weights = floats_.data();
  } else {
    matrix_.weights = bytes_.data();
    matrix_.scales = scales_.data();
    matrix_.offsets = offsets_.data();
  }
}

}  // namespace sunspring
