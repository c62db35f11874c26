// From logits to the next token. The settings are those of sunspring.sampling, and so is their
// order.

#pragma once

#include <cstdint>
#include <vector>

#include "kernels.h"

namespace sunspring {

struct SamplingSettings {
  float temperature = 1;
  std::size_t top_k = 0;
  double top_p = 1, min_p = 0;
  float repetition_penalty = 1;
};

class Sampler {
 public:
  static constexpr std::size_t kWindow = 64;  // latest tokens that the penalty looks at

  Sampler(std::size_t vocabulary_size, const Kernels& kernels);

  // Choose a token.
  //
  // logits: (padded vocabulary), `kForbidden` where there is no token; they are spent.
  // recent: the latest tokens.
  // uniform: in [0, 1), the only randomness.
  std::int32_t draw(const SamplingSettings& settings, float* logits,
                    const std::vector<std::int32_t>& recent, double uniform);

 private:
  void penalise(float* logits, const std::vector<std::int32_t>& recent, float penalty);
  void cut_ranks(const SamplingSettings& settings, float* weights);

  std::size_t size_;
  const Kernels& kernels_;
  std::vector<bool> is_seen_;
  std::vector<std::int32_t> order_;
};

}  // namespace sunspring
