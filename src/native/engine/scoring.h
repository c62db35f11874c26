// Reading texts for what they cost and for what they leave: many at once, each from a fresh state.

#pragma once

#include <cstdint>
#include <vector>

#include "network.h"

namespace sunspring {

struct ReadText {
  const std::int32_t* tokens;
  std::size_t size;
  std::int32_t label;  // of a network that has labels
  float* nats;         // (size), what each token costs; or null
  float* outputs;      // (layers · hidden), the layers' outputs after the last token; or null
};

// Read texts and fill in what they ask for. Nothing depends on the others, nor on the threads.
void read_texts(const Network& network, std::int32_t start, const std::vector<ReadText>& texts,
                std::size_t threads);

}  // namespace sunspring
