#include "sampling.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "network.h"

namespace sunspring {

constexpr float kLeastWeight = 1e-37f;  // beside one of 1, less is nothing

Sampler::Sampler(std::size_t vocabulary_size, const Kernels& kernels)
    : size_(vocabulary_size), kernels_(kernels), is_seen_(vocabulary_size) {}

std::int32_t Sampler::draw(const SamplingSettings& settings, float* logits,
                           const std::vector<std::int32_t>& recent, double uniform) {
  if (settings.repetition_penalty != 1) penalise(logits, recent, settings.repetition_penalty);
  if (settings.temperature < std::numeric_limits<float>::min()) {
    return static_cast<std::int32_t>(std::max_element(logits, logits + size_) - logits);
  }
  const float largest = kernels_.largest(logits, padded(size_));
  kernels_.exponentials(logits, padded(size_), largest, 1 / settings.temperature);
  float* weights = logits;  // that is what they are now, the largest being 1
  if (settings.top_k || settings.top_p < 1) cut_ranks(settings, weights);
  const float least = std::max(kLeastWeight, static_cast<float>(settings.min_p));
  double total = 0;
  for (std::size_t token = 0; token < size_; ++token) {
    if (weights[token] < least) weights[token] = 0;
    total += weights[token];
  }
  const double place = uniform * total;
  double cumulative = 0;
  std::size_t token = 0, last = 0;
  for (; token < size_ && cumulative <= place; ++token) {
    cumulative += weights[token];
    if (weights[token] > 0) last = token;
  }
  return static_cast<std::int32_t>(last);  // the one that passed the place
}

void Sampler::penalise(float* logits, const std::vector<std::int32_t>& recent, float penalty) {
  for (const std::int32_t token : recent) {
    if (is_seen_[token]) continue;
    is_seen_[token] = true;
    logits[token] = logits[token] > 0 ? logits[token] / penalty : logits[token] * penalty;
  }
  for (const std::int32_t token : recent) is_seen_[token] = false;
}

// Set to zero the weights of all but the `top_k` largest, and of what comes after those that reach
// `top_p` together; of equal ones the lower ids come first.
void Sampler::cut_ranks(const SamplingSettings& settings, float* weights) {
  const auto is_less = [weights](std::int32_t a, std::int32_t b) {
    return weights[a] != weights[b] ? weights[a] < weights[b] : a > b;
  };
  order_.resize(size_);
  std::iota(order_.begin(), order_.end(), 0);
  std::make_heap(order_.begin(), order_.end(), is_less);
  std::size_t sorted = 0;  // at the end of `order_`, the largest last
  const auto ranked = [&](std::size_t rank) {
    for (; sorted <= rank; ++sorted) {
      std::pop_heap(order_.begin(), order_.end() - static_cast<std::ptrdiff_t>(sorted), is_less);
    }
    return order_[size_ - 1 - rank];
  };
  std::size_t most = size_;
  double total = 0;
  if (settings.top_k) {
    most = std::min(settings.top_k, size_);
    for (std::size_t rank = 0; rank < most; ++rank) total += weights[ranked(rank)];
  } else {
    total = std::accumulate(weights, weights + size_, 0.0);
  }
  std::size_t kept = most;
  if (settings.top_p < 1) {
    double before = weights[ranked(0)];
    for (kept = 1; kept < most && before < settings.top_p * total; ++kept) {
      before += weights[ranked(kept)];
    }
  }
  for (std::size_t place = 0; place < size_ - kept; ++place) weights[order_[place]] = 0;
}

}  // namespace sunspring
