// Scoring: what the tokens of given texts cost a network, many texts at once.

#pragma once

#include <cstdint>
#include <vector>

#include "network.h"

namespace sunspring {

struct ScoredText {
  const std::int32_t* tokens;
  std::size_t size;
  std::int32_t label;  // of a model that has labels
  float* nats;         // (size), to be written: what each token costs after those before it
};

// Each text is read from a fresh state, in which `start` comes first.
void score(const Network& network, std::int32_t start, const std::vector<ScoredText>& texts,
           std::size_t threads);

}  // namespace sunspring
