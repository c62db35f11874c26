// The pointer of pointer.h; compiled once for each instruction set, with its header in
// SUNSPRING_VECTORS.
//
// A vector holds one value for each of sixteen queries, so that maxima and sums over keys are
// operations of vectors.

#include "pointer.h"

#include <algorithm>
#include <cstring>
#include <initializer_list>

#include "engine/aligned.h"
#include "functions.h"
#include "products.h"
#include "threads.h"

namespace sunspring {
namespace {

constexpr std::size_t kKeysPerChunk = 64;  // what backward makes of them stays in the L1 cache
static_assert(kQueriesPerBlock == kWidth);

// Up to 64 queries of a row that are taken together.
struct Block {
  std::size_t first, count, reach;

  // The keys that any of them reaches.
  Range keys() const { return {first, first + count + reach - 1}; }

  // Which of them reach this key, one of `keys`.
  std::uint64_t reaching(std::size_t key) const {
    const std::size_t begin = std::max(first, key + 1 - std::min(reach, key + 1));
    const std::size_t end = std::min(first + count, key + 1);
    return ~std::uint64_t{0} >> (kWidth - (end - begin)) << (begin - first);
  }
};

Mask part_of(std::uint64_t queries, std::size_t part) {
  return mask_of(static_cast<std::uint16_t>(queries >> (part * kLanes)));
}

// One value for each of 64 queries.
using PerQuery = Floats[kVectors];

void set(PerQuery& values, Floats to) {
  for (Floats& each : values) each = to;
}

// Values of the first `count` queries of a block; zero beyond.
void read(const float* from, std::size_t count, PerQuery& values) {
  float padded[kWidth] = {};
  std::memcpy(padded, from, count * sizeof(float));
  for (std::size_t part = 0; part < kVectors; ++part) values[part] = load(padded + part * kLanes);
}

void write(const PerQuery& values, std::size_t count, float* to) {
  float padded[kWidth];
  for (std::size_t part = 0; part < kVectors; ++part) store(values[part], padded + part * kLanes);
  std::memcpy(to, padded, count * sizeof(float));
}

void clear(bfloat16* from, bfloat16* end) {
  std::memset(from, 0, static_cast<std::size_t>(end - from) * sizeof(bfloat16));
}

// Interleave pairs of rows, 64 wide, to the weights of `multiply`.
void pack(const bfloat16* rows, std::size_t stride, std::size_t pairs, bfloat16* packed) {
  for (std::size_t pair = 0; pair < pairs; ++pair, rows += 2 * stride) {
    for (std::size_t place = 0; place < kWidth; place += kLanes, packed += 2 * kLanes) {
      store_pairs(interleave(rows + place, rows + stride + place), packed);
    }
  }
}

// What both passes do, with the memory of one thread.
class Pass {
 protected:
  Pass(PointerShape shape, PointerInputs inputs, Pointed result)
      : shape_(shape), inputs_(inputs), result_(result), queries_(kWidth * shape.size) {}

  // Call work(row, block) for this thread's share of the batch.
  template <typename Work>
  void for_blocks(Work work) {
    const Range rows = share(shape_.batch);
    for (std::size_t row = rows.first; row < rows.last; ++row) {
      for (std::size_t first = 0; first < shape_.time; first += kWidth) {
        const Block block{first, std::min(kWidth, shape_.time - first), shape_.reach};
        take_up(row * shape_.time + first, block.count);
        work(row, block);
      }
    }
  }

  const bfloat16* keys(std::size_t row) const {
    return inputs_.keys + row * (shape_.reach + shape_.time) * shape_.size;
  }

  const std::int64_t* followers(std::size_t row) const {
    return inputs_.followers + row * (shape_.reach + shape_.time - 1);
  }

  // Which of sixteen queries ask for this token, one that is a token.
  Mask asking(std::int64_t token, std::size_t part) const {
    return equal(fill(static_cast<std::int32_t>(token)), targets_[part]);
  }

  bfloat16* weights(std::size_t row, const Block& block) const {
    const std::size_t blocks = (shape_.time + kWidth - 1) / kWidth;
    return result_.weights +
           (row * blocks + block.first / kWidth) * (shape_.reach + kWidth - 1) * kWidth;
  }

  const PointerShape shape_;
  const PointerInputs inputs_;
  const Pointed result_;
  Aligned<bfloat16> queries_;  // (64, size)

 private:
  // Take up the queries of a block, padded with zeros, and what they ask for.
  void take_up(std::size_t step, std::size_t count) {
    const std::size_t size = count * shape_.size;
    std::memcpy(queries_.data(), inputs_.queries + step * shape_.size, size * sizeof(bfloat16));
    clear(queries_.data() + size, queries_.end());
    std::int32_t targets[kWidth];
    for (std::size_t query = 0; query < kWidth; ++query) {
      targets[query] =
          static_cast<std::int32_t>(query < count ? inputs_.targets[step + query] : kNoToken);
    }
    for (std::size_t part = 0; part < kVectors; ++part) {
      targets_[part] = load(targets + part * kLanes);
    }
  }

  Ints targets_[kVectors];
};

class ForwardPass : Pass {
 public:
  ForwardPass(PointerShape shape, PointerInputs inputs, float sentinel, Pointed result)
      : Pass(shape, inputs, result),
        sentinel_(fill(sentinel)),
        packed_queries_(shape.size * kWidth),
        scores_((shape.reach + kWidth) * kWidth) {}

  void run() {
    for_blocks([&](std::size_t row, const Block& block) {
      score(row, block);
      sum(row, block);
    });
  }

 private:
  void score(std::size_t row, const Block& block) {
    for (std::size_t query = 0; query < kWidth; ++query) {
      for (std::size_t place = 0; place < shape_.size; ++place) {
        packed_queries_[place / 2 * kPanel + 2 * query + place % 2] =
            queries_[query * shape_.size + place];
      }
    }
    set(maxima_, sentinel_);
    for_row_blocks(block.keys(), [&](std::size_t first, auto count) {
      Floats scores[count()][kVectors];
      for (PerQuery& of_key : scores) set(of_key, fill(0.0f));
      multiply<count()>(scores, keys(row) + first * shape_.size, shape_.size,
                        packed_queries_.data(), shape_.size / 2);
      for (int key = 0; key < count(); ++key) {
        const std::uint64_t reaching = block.reaching(first + key);
        float* to = &scores_[(first + key - block.first) * kWidth];
        for (std::size_t part = 0; part < kVectors; ++part) {
          maxima_[part] = choose(part_of(reaching, part), most(maxima_[part], scores[key][part]),
                                 maxima_[part]);
          store(scores[key][part], to + part * kLanes);
        }
      }
    });
  }

  // Sum the exponentials of the scores: in all, at the targets, and where there is no follower.
  void sum(std::size_t row, const Block& block) {
    PerQuery sentinels, totals, at_targets, own;
    for (std::size_t part = 0; part < kVectors; ++part) {
      sentinels[part] = exponential(sentinel_ - maxima_[part]);
      totals[part] = own[part] = sentinels[part];
      at_targets[part] = fill(0.0f);
    }
    bfloat16* to = result_.weights ? weights(row, block) : nullptr;
    const float* scores = scores_.data();
    const Range keys = block.keys();
    for (std::size_t key = keys.first; key < keys.last; ++key, scores += kWidth) {
      const std::uint64_t reaching = block.reaching(key);
      const std::int64_t follower = followers(row)[key];
      for (std::size_t part = 0; part < kVectors; ++part) {
        const Floats score = load(scores + part * kLanes);
        const Floats weight =
            choose(part_of(reaching, part), exponential(score - maxima_[part]), fill(0.0f));
        totals[part] = totals[part] + weight;
        if (follower == kNoToken) {
          own[part] = own[part] + weight;
        } else {
          at_targets[part] =
              choose(asking(follower, part), at_targets[part] + weight, at_targets[part]);
        }
        if (to) store(weight, to + part * kLanes);
      }
      if (to) to += kWidth;
    }
    PerQuery scales;
    for (std::size_t part = 0; part < kVectors; ++part) {
      scales[part] = one() / totals[part];
      for (PerQuery* each : {&sentinels, &at_targets, &own}) {
        (*each)[part] = (*each)[part] * scales[part];
      }
    }
    const std::size_t step = row * shape_.time + block.first;
    write(at_targets, block.count, result_.at_targets + step);
    write(own, block.count, result_.own + step);
    write(sentinels, block.count, result_.sentinels + step);
    write(scales, block.count, result_.scales + step);
  }

  const Floats sentinel_;
  Aligned<bfloat16> packed_queries_;  // (size / 2, 64, 2)
  Aligned<float> scores_;             // (keys, 64)
  PerQuery maxima_;
};

class BackwardPass : Pass {
 public:
  BackwardPass(PointerShape shape, PointerInputs inputs, Pointed result, PointerGradients gradients)
      : Pass(shape, inputs, result),
        gradients_(gradients),
        paired_queries_(kWidth * shape.size),
        of_scores_(kKeysPerChunk * kWidth),
        paired_of_scores_(kKeysPerChunk * kWidth),
        paired_keys_(kKeysPerChunk * kWidth),
        of_queries_(kWidth * shape.size),
        of_keys_(shape.time * shape.size) {}

  void run() {
    for_blocks([&](std::size_t row, const Block& block) {
      if (block.first == 0) of_keys_.clear();
      of_queries_.clear();
      const std::size_t step = row * shape_.time + block.first;
      take_gradients(step, block.count);
      for (std::size_t place = 0; place < shape_.size; place += kWidth) {
        pack(&queries_[place], shape_.size, kWidth / 2, &paired_queries_[place * kWidth]);
      }
      const Range all = block.keys();
      for (std::size_t first = all.first; first < all.last; first += kKeysPerChunk) {
        const Range chunk{first, std::min(first + kKeysPerChunk, all.last)};
        through_softmax(row, weights(row, block) + (first - block.first) * kWidth, chunk);
        add_to_queries(row, block.count, chunk);
        add_to_keys(chunk);
      }
      round(of_queries_.data(), block.count, gradients_.queries + step * shape_.size);
      if (block.first + block.count == shape_.time) {
        round(of_keys_.data(), shape_.time, gradients_.keys + row * shape_.time * shape_.size);
      }
    });
  }

 private:
  // Take up G, the gradients at the targets and of what is left, less D_t, their mean weighted by
  // what was pointed at; all scaled as the weights are to be.
  void take_gradients(std::size_t step, std::size_t count) {
    PerQuery at_targets, own, sentinels, scales, of_targets, of_own;
    read(result_.at_targets + step, count, at_targets);
    read(result_.own + step, count, own);
    read(result_.sentinels + step, count, sentinels);
    read(result_.scales + step, count, scales);
    read(gradients_.at_targets + step, count, of_targets);
    read(gradients_.own + step, count, of_own);
    for (std::size_t part = 0; part < kVectors; ++part) {
      const Floats mean =
          multiply_add(own[part] * of_own[part], at_targets[part], of_targets[part]);
      sentinels[part] = sentinels[part] * (of_own[part] - mean);
      of_others_[part] = scales[part] * negative(mean);
      of_targets_[part] = scales[part] * (of_targets[part] - mean);
      of_own_[part] = scales[part] * (of_own[part] - mean);
    }
    write(sentinels, count, gradients_.sentinels + step);
  }

  // The gradients of the scores, a_s (G of the follower of s − D), of the keys of a chunk.
  void through_softmax(std::size_t row, const bfloat16* weights, Range chunk) {
    bfloat16* to = of_scores_.data();
    for (std::size_t key = chunk.first; key < chunk.last; ++key) {
      const std::int64_t follower = followers(row)[key];
      for (std::size_t part = 0; part < kVectors; ++part) {
        const Floats above = follower == kNoToken ? of_own_[part]
                                                  : choose(asking(follower, part),
                                                           of_targets_[part], of_others_[part]);
        store(load(weights + part * kLanes) * above, to + part * kLanes);
      }
      weights += kWidth;
      to += kWidth;
    }
    clear(to, of_scores_.end());
  }

  // dq_t += Σ_s dscore_ts k_s
  void add_to_queries(std::size_t row, std::size_t queries, Range chunk) {
    // If they are odd, the key after the last stands beside it, and counts nothing.
    const std::size_t pairs = (chunk.size() + 1) / 2;
    pack(of_scores_.data(), kWidth, pairs, paired_of_scores_.data());
    for (std::size_t place = 0; place < shape_.size; place += kWidth) {
      pack(keys(row) + chunk.first * shape_.size + place, shape_.size, pairs, paired_keys_.data());
      for_row_blocks({0, queries}, [&](std::size_t query, auto count) {
        accumulate<count()>(&of_queries_[query * shape_.size + place], shape_.size,
                            &paired_of_scores_[2 * query], 2, paired_keys_.data(), pairs, kPanel);
      });
    }
  }

  // dk_s += Σ_t dscore_ts q_t, for the keys of this window.
  void add_to_keys(Range chunk) {
    const Range mine{std::max(chunk.first, shape_.reach), std::max(chunk.last, shape_.reach)};
    for (std::size_t place = 0; place < shape_.size; place += kWidth) {
      for_row_blocks(mine, [&](std::size_t key, auto count) {
        accumulate<count()>(&of_keys_[(key - shape_.reach) * shape_.size + place], shape_.size,
                            &of_scores_[(key - chunk.first) * kWidth], kWidth,
                            &paired_queries_[place * kWidth], kWidth / 2);
      });
    }
  }

  void round(const float* sums, std::size_t count, bfloat16* to) const {
    for (std::size_t place = 0; place < count * shape_.size; place += kLanes) {
      store(load(sums + place), to + place);
    }
  }

  const PointerGradients gradients_;
  PerQuery of_targets_, of_own_, of_others_;
  Aligned<bfloat16> paired_queries_;    // (size / 64, 32, 64, 2)
  Aligned<bfloat16> of_scores_;         // (keys, 64)
  Aligned<bfloat16> paired_of_scores_;  // (keys / 2, 64, 2)
  Aligned<bfloat16> paired_keys_;       // the same of 64 places of the keys
  Aligned<float> of_queries_;           // (64, size)
  Aligned<float> of_keys_;              // (time, size)
};

void forward(PointerShape shape, PointerInputs inputs, float sentinel, Pointed result) {
#pragma omp parallel
  ForwardPass(shape, inputs, sentinel, result).run();
}

void backward(PointerShape shape, PointerInputs inputs, Pointed result,
              PointerGradients gradients) {
#pragma omp parallel
  BackwardPass(shape, inputs, result, gradients).run();
}

}  // namespace

extern const Pointer SUNSPRING_POINTER;
const Pointer SUNSPRING_POINTER = {has_bfloat16, forward, backward};

}  // namespace sunspring
