// One LSTM layer over time, forward and backward: what is sequential about it, fused.
//
// Everything else about the layer (its inputs' products, the gradients of its weights) is a few
// large matrix products that PyTorch does well. What it does badly is the loop over time: a small
// product and a dozen passes over its result at every step.
//
// Rows of the batch do not depend on one another, so each thread takes some rows through all of
// time by itself, with no barrier between steps.

#pragma once

#include <cstddef>
#include <cstdint>

namespace sunspring {

// Sizes of one pass; `hidden` is a multiple of `kUnitsPerBlock`.
struct Shape {
  std::size_t batch, time, hidden;
};

inline constexpr std::size_t kUnitsPerBlock = 64;

// Values of a packed copy of the recurrent weights, aligned to 64 bytes.
constexpr std::size_t packed_size(std::size_t hidden) { return 4 * hidden * hidden; }

// What forward leaves, and backward takes up again. Gates stand in PyTorch's order: input, forget,
// candidate, output.
template <typename Value>
struct Activations {
  Value* outputs;  // (batch, time, hidden): h
  Value* gates;    // (batch, time, 4 hidden), after their nonlinearities
  float* cells;       // (batch, time, hidden): c
};

// What a layer's inputs and biases add to its gates: the sum of the two, either of which may be
// missing (null).
template <typename Value>
struct Inputs {
  const Value* dense;       // (batch, time, 4 hidden)
  const Value* table;       // (vocabulary, 4 hidden): a row for every token
  const std::int64_t* tokens;  // (batch, time)
};

// The scan for one instruction set, on activations in one number format.
template <typename Value>
struct Scan {
  // Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000:
  //   i, f, o = σ(…), g = tanh(…) of inputs_t + W h_{t-1};  c_t = f c_{t-1} + i g;  h_t = o tanh(c_t)
  //
  // weights (4 hidden, hidden): W; first_output, first_cell (batch, hidden): h and c before t = 0.
  void (*forward)(Shape shape, Inputs<Value> inputs, const float* weights, const Value* first_output,
                  const float* first_cell, Value* packed, Activations<Value> result);

  // The gradient of the loss with respect to the inputs, (batch, time, 4 hidden), from that with
  // respect to the outputs, (batch, time, hidden). `cell_gradients` (batch, hidden) comes in with
  // respect to the last cell and goes out with respect to the first.
  void (*backward)(Shape shape, const Value* output_gradients, const float* weights,
                   const float* first_cell, const Activations<Value>& activations, Value* packed,
                   Value* input_gradients, float* cell_gradients);
};

}  // namespace sunspring
