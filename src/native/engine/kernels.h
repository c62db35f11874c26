// What the network is made of, for one instruction set: plain functions over plain memory.
//
// Rows of matrices go in blocks of sixteen, columns of bytes in fours; both are padded with zeros,
// and so are vectors. Four blocks are a panel, in which each column of one block stands beside that
// of the next: so a matrix is read from its first byte to its last. All arithmetic but that of `multiply` for float32 is the same to the last bit
// on every instruction set: sums of products of bytes are whole numbers, and everything else is
// done one IEEE operation after another, in an order that does not depend on how wide a register
// is.

#pragma once

#include <cstddef>
#include <cstdint>

namespace sunspring {

constexpr std::size_t kRows = 16;   // of a block
constexpr std::size_t kPanel = 4;   // blocks, fewer in the last panel of a matrix
constexpr std::size_t kBytes = 4;   // of a row in one product
constexpr float kUnit = 127.0f;     // what 1 is as a byte, of outputs of layers

// A matrix of floats, each panel (columns, 4, 16), without scales and offsets; or one of bytes,
// each panel (columns / 4, 4, 16, 4).
struct Matrix {
  void* weights;
  float* scales;          // (rows)
  std::int32_t* offsets;  // (rows), what the sums of products begin with
  std::size_t blocks, columns;
};

// Where a block begins in its matrix, and how far its columns are apart: in columns of a block, or
// in fours of them.
struct Place {
  std::size_t first, step;
};
static inline Place place_of(std::size_t block, std::size_t blocks, std::size_t columns) {
  const std::size_t within = block % kPanel, panel = block - within, left = blocks - panel;
  return {panel * columns + within, left < kPanel ? left : kPanel};
}

// A vector of one text for `multiply`: bytes · scale, or floats.
struct Vector {
  const void* values;
  float scale;
};

struct Kernels {
  const char* name;
  bool (*is_supported)();

  // Put a row of bytes, as many as there are columns, at its place in a matrix.
  void (*pack_row)(const std::int8_t* values, const Matrix& matrix, std::size_t row);
  // The same for what `quantize` wrote.
  void (*keep_row)(const std::int8_t* activations, const Matrix& matrix, std::size_t row);

  // out[text] = start[text] + matrix · vectors[text], for the blocks of rows from first to last.
  void (*multiply)(const Matrix& matrix, std::size_t first, std::size_t last,
                   const Vector* vectors, const float* const* start, float* const* out,
                   std::size_t texts);

  // The cells, for sixteen units at a time: `gates` are (units / 16, gates, 16) in PyTorch's order
  // of gates. Outputs are written as floats and as bytes.
  void (*lstm)(const float* gates, std::size_t units, float* cell, float* output,
               std::int8_t* bytes);
  void (*gru)(const float* input, const float* recurrent, std::size_t units, float* output,
              std::int8_t* bytes);
  void (*rnn)(const float* gates, std::size_t units, float* output, std::int8_t* bytes);

  // Vectors whose size is a multiple of sixteen.
  void (*squash)(float* values, std::size_t size);  // tanh, in place
  void (*logarithms)(float* values, std::size_t size);  // in place, of positive normal numbers
  float (*exponentials)(float* values, std::size_t size, float largest, float factor);
  float (*largest)(const float* values, std::size_t size);
  float (*dot)(const float* a, const float* b, std::size_t size);
  void (*accumulate)(float* sums, float decay, const float* values, float weight, std::size_t size);
  void (*scale)(const float* values, float factor, float* to, std::size_t size);
  float (*quantize)(const float* values, std::size_t size, std::int8_t* bytes);
};

}  // namespace sunspring
