// What a pointer looks at: the attention of each step over the steps before it, and which tokens
// followed them, forward and backward in one pass each.
//
// PyTorch passes over (batch, time, reach + time) scores a dozen times. Here they never leave the
// cache: backward computes them again, as in FlashAttention (Dao et al. 2022, algorithms 1 and 4).
//
// Rows of the batch do not depend on one another, so each thread takes some of them by itself.

#pragma once

#include <cstddef>
#include <cstdint>

#include "bfloat16.h"

namespace sunspring {

// Sizes of one pass; `size` of keys and queries is a multiple of 64.
struct PointerShape {
  std::size_t batch, time, reach, size, vocabulary;
};

// Query t of a row is compared with its keys t, …, t + reach − 1.
struct PointerInputs {
  const bfloat16* queries;        // (batch, time, size), scaled
  const bfloat16* keys;           // (batch, reach + time, size), of which the last is for later
  const std::int64_t* followers;  // (batch, reach + time − 1): a token for each key, or `vocabulary`
  float sentinel;                 // a score beside those of the keys
};

// With a = softmax of the scores q_t·k_s and the sentinel:
struct Pointed {
  float* tokens;       // (batch, time, vocabulary): Σ_s a_s [the follower of s is this token]
  float* own;          // (batch, time): what is left, of keys without a follower and the sentinel
  float* normalizers;  // (batch, time): log Σ exp of the scores
};

void pointer_forward(PointerShape shape, PointerInputs inputs, Pointed result);

// The gradients of the loss with respect to the queries, the keys of this window (the last `time`;
// those before are constants) and, for each step, the sentinel; from those of `tokens` and `own`.
struct PointerGradients {
  const float* tokens;  // (batch, time, vocabulary)
  const float* own;     // (batch, time)
  bfloat16* queries;    // (batch, time, size)
  bfloat16* keys;       // (batch, time, size)
  float* sentinels;     // (batch, time)
};

void pointer_backward(PointerShape shape, PointerInputs inputs, Pointed result,
                      PointerGradients gradients);

}  // namespace sunspring
