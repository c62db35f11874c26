// What the loops of one instruction set make of made-up numbers: prints their results, one a line.

#include "training/loops.h"

#include <cstdint>
#include <cstdio>
#include <vector>

#include "engine/aligned.h"

namespace sunspring::loops {
extern const Loops<float> SUNSPRING_LOOPS;
}

using Values = std::vector<float>;

namespace {

const auto& loops = sunspring::loops::SUNSPRING_LOOPS;

// Numbers from -scale to scale that look random, the same everywhere.
Values made_up(std::size_t size, float scale) {
  static std::uint32_t state = 1;
  Values values(size);
  for (float& value : values) {
    state = state * 1664525u + 1013904223u;
    value = scale * (static_cast<float>(state >> 8) / (1 << 23) - 1);
  }
  return values;
}

std::vector<std::int64_t> tokens(std::size_t size, std::int64_t of) {
  std::vector<std::int64_t> result(size);
  for (std::size_t i = 0; i < size; ++i) result[i] = static_cast<std::int64_t>(i * i + i / 3) % of;
  return result;
}

void print(const Values& values) {
  for (float value : values) std::printf("%.9g\n", static_cast<double>(value));
}

void scan() {
  const sunspring::Shape shape{9, 7, 64};
  const std::size_t steps = shape.batch * shape.time, state = shape.batch * shape.hidden;
  const Values weights = made_up(4 * 64 * 64, 0.3f), dense = made_up(steps * 256, 2),
               table = made_up(5 * 256, 1), first_output = made_up(state, 1),
               first_cell = made_up(state, 1), of_outputs = made_up(steps * 64, 1);
  const auto read = tokens(steps, 5);
  Values outputs(steps * 64), gates(steps * 256), cells(steps * 64), of_inputs(steps * 256),
      of_cells = made_up(state, 1);
  const sunspring::Aligned<float> packed(sunspring::packed_size(64));
  const sunspring::Activations<float> activations{outputs.data(), gates.data(), cells.data()};
  loops.scan->forward(shape, {dense.data(), table.data(), read.data()}, weights.data(),
                      first_output.data(), first_cell.data(), packed.data(), activations);
  loops.scan->backward(shape, of_outputs.data(), weights.data(), first_cell.data(), activations,
                       packed.data(), of_inputs.data(), of_cells.data());
  for (const Values* each : {&outputs, &gates, &cells, &of_inputs, &of_cells}) print(*each);
}

void pointer() {
  const sunspring::PointerShape shape{3, 70, 40, 64};
  const std::size_t steps = shape.batch * shape.time, keys = shape.batch * (40 + 70);
  const Values queries = made_up(steps * 64, 0.5f), all_keys = made_up(keys * 64, 0.5f),
               of_targets = made_up(steps, 1), of_own = made_up(steps, 1);
  auto followers = tokens(shape.batch * (40 + 70 - 1), 7);
  for (std::size_t i = 0; i < followers.size(); i += 9) followers[i] = sunspring::kNoToken;
  const auto targets = tokens(steps, 7);
  Values at_targets(steps), own(steps), sentinels(steps), scales(steps),
      weights(shape.batch * 2 * (40 + 63) * 64), of_queries(steps * 64), of_keys(steps * 64),
      of_sentinels(steps);
  const sunspring::PointerInputs<float> inputs{queries.data(), all_keys.data(), followers.data(),
                                               targets.data()};
  const sunspring::Pointed<float> pointed{at_targets.data(), own.data(), sentinels.data(),
                                          scales.data(), weights.data()};
  loops.pointer->forward(shape, inputs, 0.3f, pointed);
  loops.pointer->backward(shape, inputs, pointed,
                          {of_targets.data(), of_own.data(), of_queries.data(), of_keys.data(),
                           of_sentinels.data()});
  for (const Values* each : {&at_targets, &own, &of_queries, &of_keys, &of_sentinels}) print(*each);
}

void product() {
  const sunspring::ProductShape shape{25, 300, 37};
  const Values a = made_up(25 * 300, 1), b = made_up(300 * 37, 1), bias = made_up(37, 1);
  const sunspring::Aligned<float> packed(loops.product->packed_size(shape));
  for (const sunspring::Matrix<float> left : {sunspring::Matrix<float>{a.data(), 300, 1},
                                              sunspring::Matrix<float>{a.data(), 1, 25}}) {
    for (const sunspring::Matrix<float> right : {sunspring::Matrix<float>{b.data(), 37, 1},
                                                 sunspring::Matrix<float>{b.data(), 1, 300}}) {
      Values result(25 * 37);
      loops.product->multiply(shape, left, right, bias.data(), packed.data(), result.data());
      print(result);
    }
  }
}

}  // namespace

int main() {
  if (!loops.is_supported()) return 1;
  std::printf("%s\n", loops.name);
  scan();
  pointer();
  product();
}
