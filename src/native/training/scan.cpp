// The scan of scan.h; compiled once for each instruction set, with its header in SUNSPRING_VECTORS.

#include "scan.h"

#include "engine/aligned.h"
#include "functions.h"
#include "products.h"
#include "threads.h"

namespace sunspring {
namespace {

constexpr std::size_t kGates = 4;
constexpr std::size_t kPairsPerChunk = 128;  // a chunk's weights (32 KiB) stay in the L1 cache
static_assert(kGates == kVectors && kUnitsPerBlock == kWidth);

// Where the values of one row of the batch at one time begin.
struct Layout {
  Shape shape;
  std::size_t at(std::size_t row, std::size_t time) const {
    return (row * shape.time + time) * shape.hidden;
  }
};

// Pack a thread's share of the weights for h W^T: blocks of 16 units with their four gates.
void pack_for_forward(std::size_t hidden, const float* weights, bfloat16* packed) {
  const Range blocks = share(hidden / kLanes);
  for (std::size_t block = blocks.first; block < blocks.last; ++block) {
    for (std::size_t gate = 0; gate < kGates; ++gate) {
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const float* row = weights + (gate * hidden + block * kLanes + lane) * hidden;
        bfloat16* to = packed + block * hidden / 2 * kPanel + (gate * kLanes + lane) * 2;
        for (std::size_t input = 0; input < hidden; ++input) {
          to[input / 2 * kPanel + input % 2] = rounded(row[input]);
        }
      }
    }
  }
}

// Pack a thread's share of the weights for dgates W: blocks of 64 units.
void pack_for_backward(std::size_t hidden, const float* weights, bfloat16* packed) {
  const std::size_t pairs = kGates * hidden / 2;
  const Range mine = share(pairs);
  for (std::size_t pair = mine.first; pair < mine.last; ++pair) {
    const float* row = weights + 2 * pair * hidden;
    for (std::size_t unit = 0; unit < hidden; ++unit) {
      bfloat16* to = packed + (unit / kUnitsPerBlock * pairs + pair) * kPanel;
      to[unit % kUnitsPerBlock * 2] = rounded(row[unit]);
      to[unit % kUnitsPerBlock * 2 + 1] = rounded(row[hidden + unit]);
    }
  }
}

struct ForwardPass {
  Layout layout;
  Inputs inputs;
  const bfloat16* packed;
  Activations result;

  Floats input(std::size_t row, std::size_t time, std::size_t gate_unit) const {
    Floats sum = fill(0.0f);
    if (inputs.dense) sum = load(inputs.dense + kGates * layout.at(row, time) + gate_unit);
    if (inputs.table) {
      const std::size_t token = inputs.tokens[row * layout.shape.time + time];
      const bfloat16* of_token = inputs.table + token * kGates * layout.shape.hidden;
      sum = sum + load(of_token + gate_unit);
    }
    return sum;
  }

  // Sixteen units of some rows at one time; `before` is h of those rows, `cells` their c.
  template <int rows>
  void block(std::size_t first, std::size_t time, std::size_t unit, const bfloat16* before,
             const float* cells, std::size_t stride) const {
    const std::size_t hidden = layout.shape.hidden;
    Floats sums[rows][kGates];
    for (int row = 0; row < rows; ++row) {
      for (std::size_t gate = 0; gate < kGates; ++gate) {
        sums[row][gate] = input(first + row, time, gate * hidden + unit);
      }
    }
    multiply<rows>(sums, before, stride, packed + unit / kLanes * (hidden / 2) * kPanel,
                   hidden / 2);
    for (int row = 0; row < rows; ++row) {
      const std::size_t place = layout.at(first + row, time);
      const Floats values[kGates] = {sigmoid(sums[row][0]), sigmoid(sums[row][1]),
                                     hyperbolic_tangent(sums[row][2]), sigmoid(sums[row][3])};
      bfloat16* gates = result.gates + kGates * place + unit;
      for (std::size_t gate = 0; gate < kGates; ++gate) store(values[gate], gates + gate * hidden);
      const Floats cell =
          multiply_add(values[0] * values[2], values[1], load(cells + row * stride + unit));
      store(cell, result.cells + place + unit);
      store(values[3] * hyperbolic_tangent(cell), result.outputs + place + unit);
    }
  }
};

struct BackwardPass {
  Layout layout;
  const bfloat16* output_gradients;
  const float* first_cell;
  const bfloat16* packed;
  Activations activations;
  bfloat16* input_gradients;
  float* cell_gradients;

  // Add what the step after `time` hands back through the recurrent weights to dh (rows, hidden).
  void add_from_later(Range rows, std::size_t time, float* output_gradient) const {
    const std::size_t hidden = layout.shape.hidden, pairs = kGates * hidden / 2;
    for (std::size_t unit = 0; unit < hidden; unit += kUnitsPerBlock) {
      for (std::size_t pair = 0; pair < pairs; pair += kPairsPerChunk) {
        for_row_blocks(rows, [&](std::size_t first, auto count) {
          const bfloat16* later = input_gradients + kGates * layout.at(first, time + 1) + 2 * pair;
          accumulate<count()>(output_gradient + (first - rows.first) * hidden + unit, hidden, later,
                              kGates * layout.shape.time * hidden,
                              packed + (unit / kUnitsPerBlock * pairs + pair) * kPanel,
                              kPairsPerChunk);
        });
      }
    }
  }

  // From dh and dc of sixteen units of a row to the gradients of their gates, and dc a step earlier.
  void through_gates(std::size_t row, std::size_t time, std::size_t unit, Floats output_gradient,
                     float* cell_gradient) const {
    const std::size_t hidden = layout.shape.hidden, place = layout.at(row, time);
    const float* before =
        time > 0 ? activations.cells + layout.at(row, time - 1) : first_cell + row * hidden;
    const bfloat16* gates = activations.gates + kGates * place + unit;
    const Floats input = load(gates), forget = load(gates + hidden),
                 candidate = load(gates + 2 * hidden), output = load(gates + 3 * hidden);
    const Floats squashed = hyperbolic_tangent(load(activations.cells + place + unit));
    const auto through_tangent = [](Floats value) {
      return multiply_add(one(), negative(value), value);
    };
    const auto through_sigmoid = [](Floats gradient, Floats value) {
      return gradient * (value * (one() - value));
    };
    const Floats through_cell =
        multiply_add(load(cell_gradient), output_gradient * output, through_tangent(squashed));
    bfloat16* to = input_gradients + kGates * place + unit;
    store(through_sigmoid(through_cell * candidate, input), to);
    store(through_sigmoid(through_cell * load(before + unit), forget), to + hidden);
    store(through_cell * input * through_tangent(candidate), to + 2 * hidden);
    store(through_sigmoid(output_gradient * squashed, output), to + 3 * hidden);
    store(through_cell * forget, cell_gradient);
  }

  // Take some rows from the last step to the first.
  void run(Range rows) const {
    const Shape& shape = layout.shape;
    const Aligned<float> output_gradient(rows.size() * shape.hidden);
    const auto for_units = [&](auto work) {  // of each row; and where dh of sixteen units is
      for (std::size_t row = rows.first; row < rows.last; ++row) {
        for (std::size_t unit = 0; unit < shape.hidden; unit += kLanes) {
          work(row, unit, &output_gradient[(row - rows.first) * shape.hidden + unit]);
        }
      }
    };
    for (std::size_t time = shape.time; time-- > 0;) {
      for_units([&](std::size_t row, std::size_t unit, float* own) {
        store(load(output_gradients + layout.at(row, time) + unit), own);
      });
      if (time + 1 < shape.time) add_from_later(rows, time, output_gradient.data());
      for_units([&](std::size_t row, std::size_t unit, const float* own) {
        through_gates(row, time, unit, load(own), cell_gradients + row * shape.hidden + unit);
      });
    }
  }
};

void forward(Shape shape, Inputs inputs, const float* weights, const bfloat16* first_output,
             const float* first_cell, bfloat16* packed, Activations result) {
  const ForwardPass pass{{shape}, inputs, packed, result};
#pragma omp parallel
  {
    pack_for_forward(shape.hidden, weights, packed);
#pragma omp barrier
    const Range rows = share(shape.batch);
    for (std::size_t time = 0; time < shape.time; ++time) {
      const std::size_t stride = shape.hidden * (time > 0 ? shape.time : 1);
      for (std::size_t unit = 0; unit < shape.hidden; unit += kLanes) {
        for_row_blocks(rows, [&](std::size_t first, auto count) {
          const std::size_t before =
              time > 0 ? pass.layout.at(first, time - 1) : first * shape.hidden;
          pass.template block<count()>(first, time, unit,
                                       (time > 0 ? result.outputs : first_output) + before,
                                       (time > 0 ? result.cells : first_cell) + before, stride);
        });
      }
    }
  }
}

void backward(Shape shape, const bfloat16* output_gradients, const float* weights,
              const float* first_cell, const Activations& activations, bfloat16* packed,
              bfloat16* input_gradients, float* cell_gradients) {
  const BackwardPass pass{{shape},     output_gradients, first_cell,    packed,
                          activations, input_gradients,  cell_gradients};
#pragma omp parallel
  {
    pack_for_backward(shape.hidden, weights, packed);
#pragma omp barrier
    pass.run(share(shape.batch));
  }
}

}  // namespace

extern const Scan SUNSPRING_SCAN;
const Scan SUNSPRING_SCAN = {has_bfloat16, forward, backward};

}  // namespace sunspring
