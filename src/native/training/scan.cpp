// The scan of scan.h; compiled once for each instruction set, in its namespace SUNSPRING_LOOPS.

#include "scan.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/aligned.h"
#include "functions.h"
#include "products.h"
#include "threads.h"

namespace sunspring {
namespace {

constexpr std::size_t kGates = 4;
constexpr std::size_t kChunkBytes = 32 << 10;  // of weights that stay in the L1 cache
constexpr std::size_t kGroupsPerChunk = kChunkBytes / (kPanel * sizeof(Value));
constexpr std::size_t kLine = 64 / sizeof(Value);  // values of a cache line
static_assert(kGates % kTileVectors == 0 && kUnitsPerBlock % kWidth == 0);

// Where the values of one row of the batch at one time begin.
struct Layout {
  Shape shape;
  std::size_t at(std::size_t row, std::size_t time) const {
    return (row * shape.time + time) * shape.hidden;
  }
};

// Pack some blocks of the weights for h W^T: each of 16 units, with panels of their four gates.
void pack_for_forward(Range blocks, std::size_t hidden, const float* weights, Value* packed) {
  for (std::size_t block = blocks.first; block < blocks.last; ++block) {
    for (std::size_t gate = 0; gate < kGates; ++gate) {
      const std::size_t panel = (block * kGates + gate) / kTileVectors;
      for (std::size_t lane = 0; lane < kLanes; ++lane) {
        const float* row = weights + (gate * hidden + block * kLanes + lane) * hidden;
        Value* to =
            packed + panel * hidden * kWidth + (gate % kTileVectors * kLanes + lane) * kGroup;
        for (std::size_t input = 0; input < hidden; ++input) {
          to[input / kGroup * kPanel + input % kGroup] = rounded(row[input]);
        }
      }
    }
  }
}

// Pack some groups of inputs of the weights for dgates W: panels of as many units as fit.
void pack_for_backward(Range mine, std::size_t hidden, const float* weights, Value* packed) {
  const std::size_t groups = kGates * hidden / kGroup;
  for (std::size_t group = mine.first; group < mine.last; ++group) {
    for (std::size_t place = 0; place < kGroup; ++place) {
      const float* row = weights + (kGroup * group + place) * hidden;
      for (std::size_t unit = 0; unit < hidden; ++unit) {
        packed[(unit / kWidth * groups + group) * kPanel + unit % kWidth * kGroup + place] =
            rounded(row[unit]);
      }
    }
  }
}

// From row to row of what a step hands to the next. The steps of a row lie apart by powers of two,
// which the cache cannot hold many of; here a line more keeps the rows apart.
constexpr std::size_t row_stride(std::size_t size) { return size + kLine; }

struct ForwardPass {
  Layout layout;
  Inputs<Value> inputs;
  const Value* packed;
  Activations<Value> result;

  Floats input(std::size_t row, std::size_t time, std::size_t gate_unit) const {
    Floats sum = fill(0.0f);
    if (inputs.dense) sum = load(inputs.dense + kGates * layout.at(row, time) + gate_unit);
    if (inputs.table) {
      const std::size_t token = inputs.tokens[row * layout.shape.time + time];
      const Value* of_token = inputs.table + token * kGates * layout.shape.hidden;
      sum = sum + load(of_token + gate_unit);
    }
    return sum;
  }

  // Sixteen units of some rows at one time; of those rows, `before` is h of the step before and
  // `cells` c, and h is put into `outputs` too.
  template <int rows>
  void block(std::size_t first, std::size_t time, std::size_t unit, const Value* before,
             Value* outputs, const float* cells, std::size_t stride) const {
    const std::size_t hidden = layout.shape.hidden;
    float sums[rows][kGates][kLanes];
    for (int row = 0; row < rows; ++row) {
      for (std::size_t gate = 0; gate < kGates; ++gate) {
        store(input(first + row, time, gate * hidden + unit), sums[row][gate]);
      }
    }
    for (std::size_t gate = 0; gate < kGates; gate += kTileVectors) {
      const std::size_t panel = (unit / kLanes * kGates + gate) / kTileVectors;
      accumulate<rows>(sums[0][gate], kGates * kLanes, before, row_stride(hidden),
                       packed + panel * hidden * kWidth, hidden / kGroup, kGroup);
    }
    for (int row = 0; row < rows; ++row) {
      const std::size_t place = layout.at(first + row, time);
      const Floats values[kGates] = {sigmoid(load(sums[row][0])), sigmoid(load(sums[row][1])),
                                     hyperbolic_tangent(load(sums[row][2])),
                                     sigmoid(load(sums[row][3]))};
      Value* gates = result.gates + kGates * place + unit;
      for (std::size_t gate = 0; gate < kGates; ++gate) store(values[gate], gates + gate * hidden);
      const Floats cell =
          multiply_add(values[0] * values[2], values[1], load(cells + row * stride + unit));
      store(cell, result.cells + place + unit);
      const Floats output = values[3] * hyperbolic_tangent(cell);
      store(output, result.outputs + place + unit);
      store(output, outputs + row * row_stride(hidden) + unit);
    }
  }

  // Take some rows from the first step to the last.
  void run(Range rows, const Value* first_output, const float* first_cell) const {
    const auto [batch, times, hidden] = layout.shape;
    Aligned<Value> before(rows.size() * row_stride(hidden)), outputs(before);
    for (std::size_t row = 0; row < rows.size(); ++row) {
      std::memcpy(&before[row * row_stride(hidden)], first_output + (rows.first + row) * hidden,
                  hidden * sizeof(Value));
    }
    for (std::size_t time = 0; time < times; ++time) {
      for (std::size_t unit = 0; unit < hidden; unit += kLanes) {
        for_row_blocks(rows, [&](std::size_t first, auto count) {
          const std::size_t place = (first - rows.first) * row_stride(hidden);
          const float* cells = time > 0 ? result.cells + layout.at(first, time - 1)
                                        : first_cell + first * hidden;
          block<count()>(first, time, unit, &before[place], &outputs[place], cells,
                         time > 0 ? times * hidden : hidden);
        });
      }
      std::swap(before, outputs);
    }
  }
};

struct BackwardPass {
  Layout layout;
  const Value* output_gradients;
  const float* first_cell;
  const Value* packed;
  Activations<Value> activations;
  Value* input_gradients;
  float* cell_gradients;

  // Add what the step after hands back through the recurrent weights to dh (rows, hidden).
  void add_from_later(Range rows, const Value* later, float* output_gradient) const {
    const std::size_t hidden = layout.shape.hidden, groups = kGates * hidden / kGroup;
    const std::size_t stride = row_stride(kGates * hidden);
    for (std::size_t group = 0; group < groups; group += kGroupsPerChunk) {
      for (std::size_t unit = 0; unit < hidden; unit += kWidth) {
        for_row_blocks(rows, [&](std::size_t first, auto count) {
          const std::size_t row = first - rows.first;
          accumulate<count()>(output_gradient + row * hidden + unit, hidden,
                              later + row * stride + group * kGroup, stride,
                              packed + (unit / kWidth * groups + group) * kPanel,
                              std::min(kGroupsPerChunk, groups - group), kGroup);
        });
      }
    }
  }

  // From dh and dc of sixteen units of a row to the gradients of their gates, which are put into
  // `gradients` too, and dc a step earlier.
  void through_gates(std::size_t row, std::size_t time, std::size_t unit, Floats output_gradient,
                     float* cell_gradient, Value* gradients) const {
    const std::size_t hidden = layout.shape.hidden, place = layout.at(row, time);
    const float* before =
        time > 0 ? activations.cells + layout.at(row, time - 1) : first_cell + row * hidden;
    const Value* gates = activations.gates + kGates * place + unit;
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
    const Floats of_gates[kGates] = {through_sigmoid(through_cell * candidate, input),
                                     through_sigmoid(through_cell * load(before + unit), forget),
                                     through_cell * input * through_tangent(candidate),
                                     through_sigmoid(output_gradient * squashed, output)};
    for (std::size_t gate = 0; gate < kGates; ++gate) {
      store(of_gates[gate], input_gradients + kGates * place + gate * hidden + unit);
      store(of_gates[gate], gradients + gate * hidden + unit);
    }
    store(through_cell * forget, cell_gradient);
  }

  // Take some rows from the last step to the first.
  void run(Range rows) const {
    const Shape& shape = layout.shape;
    const Aligned<float> output_gradient(rows.size() * shape.hidden);
    const std::size_t stride = row_stride(kGates * shape.hidden);
    const Aligned<Value> later(rows.size() * stride);
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
      if (time + 1 < shape.time) add_from_later(rows, later.data(), output_gradient.data());
      for_units([&](std::size_t row, std::size_t unit, const float* own) {
        through_gates(row, time, unit, load(own), cell_gradients + row * shape.hidden + unit,
                      &later[(row - rows.first) * stride]);
      });
    }
  }
};

void forward(Shape shape, Inputs<Value> inputs, const float* weights, const Value* first_output,
             const float* first_cell, Value* packed, Activations<Value> result) {
  const ForwardPass pass{{shape}, inputs, packed, result};
  in_team([&](const Member& member) {
    pack_for_forward(share(shape.hidden / kLanes, member), shape.hidden, weights, packed);
    meet(member);
    pass.run(share(shape.batch, member), first_output, first_cell);
  });
}

void backward(Shape shape, const Value* output_gradients, const float* weights,
              const float* first_cell, const Activations<Value>& activations, Value* packed,
              Value* input_gradients, float* cell_gradients) {
  const BackwardPass pass{{shape},     output_gradients, first_cell,    packed,
                          activations, input_gradients,  cell_gradients};
  in_team([&](const Member& member) {
    const Range groups = share(kGates * shape.hidden / kGroup, member);
    pack_for_backward(groups, shape.hidden, weights, packed);
    meet(member);
    pass.run(share(shape.batch, member));
  });
}

}  // namespace

namespace SUNSPRING_LOOPS {
extern const Scan<Value> scan;
const Scan<Value> scan = {forward, backward};
}  // namespace SUNSPRING_LOOPS

}  // namespace sunspring
