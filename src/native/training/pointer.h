// How much of a pointer's attention lies on steps that were followed by a given token, forward and
// backward in one pass each.
//
// PyTorch passes over (batch, time, reach + time) scores a dozen times. Here they stay in the cache,
// and what backward needs of them is kept in bfloat16.
//
// Rows of the batch do not depend on one another, so each thread takes some of them by itself.

#pragma once

#include <cstddef>
#include <cstdint>

namespace sunspring {

inline constexpr std::size_t kQueriesPerBlock = 64;
inline constexpr std::int64_t kNoToken = -1;

// Sizes of one pass; `size` of keys and queries is a multiple of 64.
struct PointerShape {
  std::size_t batch, time, reach, size;
};

// Query t of a row is compared with its keys t, …, t + reach − 1.
template <typename Value>
struct PointerInputs {
  const Value* queries;           // (batch, time, size), scaled
  const Value* keys;              // (batch, reach + time, size), of which the last is for later
  const std::int64_t* followers;  // (batch, reach + time − 1): a token for each key, or kNoToken
  const std::int64_t* targets;    // (batch, time): the token that is asked for
};

// With a = softmax of the scores q_t·k_s and the sentinel (Merity et al. 2017, section 2.2):
template <typename Value>
struct Pointed {
  float* at_targets;  // (batch, time): Σ_s a_s [the follower of s is the target of t]
  float* own;         // (batch, time): that of keys without a follower and of the sentinel
  float* sentinels;   // (batch, time): a of the sentinel
  float* scales;      // (batch, time): a of the largest score
  // (batch, time / 64, reach + 63, 64): a over that of the largest score, for each key that some of
  // 64 queries reach. Null if backward is not to come.
  Value* weights;
};

// The gradients of the loss with respect to the queries, the keys of this window (the last `time`;
// those before are constants) and, for each step, the sentinel; from those of `at_targets` and
// `own`.
template <typename Value>
struct PointerGradients {
  const float* at_targets;  // (batch, time)
  const float* own;         // (batch, time)
  Value* queries;           // (batch, time, size)
  Value* keys;              // (batch, time, size)
  float* sentinels;         // (batch, time)
};

// The pointer for one instruction set, on keys and queries in one number format.
template <typename Value>
struct Pointer {
  // sentinel: a score beside those of the keys.
  void (*forward)(PointerShape shape, PointerInputs<Value> inputs, float sentinel,
                  Pointed<Value> result);
  void (*backward)(PointerShape shape, PointerInputs<Value> inputs, Pointed<Value> result,
                   PointerGradients<Value> gradients);
};

}  // namespace sunspring
