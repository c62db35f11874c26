// Reading texts for what they cost and for what they leave: many at once, each from a fresh state.

#pragma once

#include <cstdint>
#include <vector>

#include "model.h"

namespace sunspring {

// Texts that stand one after another.
struct Texts {
  Span<std::int64_t> tokens;   // of all
  Span<std::int64_t> lengths;  // of each
  Span<std::int64_t> labels;   // of each, or none at all
};

// These throw std::invalid_argument if the texts contradict themselves or are not of the model.
// What they give of a text depends neither on the others nor on the threads.

// Nats of each token by what stands before it in its text, (tokens).
std::vector<float> score(const Model& model, const Texts& texts, std::size_t threads);

// The outputs of all layers after each text, (texts, layers, hidden).
std::vector<float> encode(const Model& model, const Texts& texts, std::size_t threads);

}  // namespace sunspring
