// What is kept of a text while it is read or written.

#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "aligned.h"
#include "counts.h"
#include "packed.h"

namespace sunspring {

constexpr float kForbidden = -1e30f;  // the logit of what is no token
constexpr float kLeast = 1e-30f;      // keeps the logarithm of a probability finite

// A vector that products are taken of.
struct Values {
  explicit Values(std::size_t size) : floats(padded(size)), bytes(padded(size)) {}

  Aligned<float> floats;
  Aligned<std::int8_t> bytes;  // times `scale`, the same; of models in 8 bits
  float scale = 0;
};

// What the network remembers of one text, and room for what it makes of it.
struct State {
  std::vector<Values> slots;          // outputs of the layers, the embedding, averages of these
  std::vector<Aligned<float>> cells;  // of an lstm

  // The attention's sums of features; weights are relative to the largest score so far.
  float largest = -1e4f, total = 0;
  std::vector<Aligned<float>> sums;

  // The pointer's last keys in a ring, and the token that was read after each.
  std::optional<Packed> keys;
  std::vector<std::int32_t> followers;
  std::size_t steps = 0;

  Counts::Contexts contexts;

  Aligned<float> logits;
  Aligned<float> gates, recurrent_gates, projected, scores, masses, mixed;
  std::optional<Values> query;
};

// What a network reads next of one text.
struct Input {
  State* state;
  std::int32_t token, label;  // label: of a model that has labels
};

}  // namespace sunspring
