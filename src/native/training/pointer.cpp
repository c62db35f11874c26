// The pointer of pointer.h; compiled once for each instruction set, in its namespace
// SUNSPRING_LOOPS.
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
constexpr std::size_t kQueries = kQueriesPerBlock;
constexpr std::size_t kParts = kQueries / kLanes;  // vectors of them
static_assert(kQueries % kWidth == 0);

// Up to 64 queries of a row that are taken together.
struct Block {
  std::size_t first, count, reach;

  // The keys that any of them reaches.
  Range keys() const { return {first, first + count + reach - 1}; }

  // Which of them reach this key, one of `keys`.
  std::uint64_t reaching(std::size_t key) const {
    const std::size_t begin = std::max(first, key + 1 - std::min(reach, key + 1));
    const std::size_t end = std::min(first + count, key + 1);
    return ~std::uint64_t{0} >> (kQueries - (end - begin)) << (begin - first);
  }
};

Mask part_of(std::uint64_t queries, std::size_t part) {
  return mask_of(static_cast<std::uint16_t>(queries >> (part * kLanes)));
}

// One value for each of 64 queries.
using PerQuery = Floats[kParts];

void set(PerQuery& values, Floats to) {
  for (Floats& each : values) each = to;
}

// Values of the first `count` queries of a block; zero beyond.
void read(const float* from, std::size_t count, PerQuery& values) {
  float padded[kQueries] = {};
  std::memcpy(padded, from, count * sizeof(float));
  for (std::size_t part = 0; part < kParts; ++part) values[part] = load(padded + part * kLanes);
}

void write(const PerQuery& values, std::size_t count, float* to) {
  float padded[kQueries];
  for (std::size_t part = 0; part < kParts; ++part) store(values[part], padded + part * kLanes);
  std::memcpy(to, padded, count * sizeof(float));
}

void clear(Value* from, Value* end) {
  std::memset(from, 0, static_cast<std::size_t>(end - from) * sizeof(Value));
}

// What both passes do, with the memory of one thread.
class Pass {
 protected:
  Pass(PointerShape shape, PointerInputs<Value> inputs, Pointed<Value> result)
      : shape_(shape), inputs_(inputs), result_(result), queries_(kQueries * shape.size) {}

  // Call work(row, block) for some rows of the batch.
  template <typename Work>
  void for_blocks(Range rows, Work work) {
    for (std::size_t row = rows.first; row < rows.last; ++row) {
      for (std::size_t first = 0; first < shape_.time; first += kQueries) {
        const Block block{first, std::min(kQueries, shape_.time - first), shape_.reach};
        take_up(row * shape_.time + first, block.count);
        work(row, block);
      }
    }
  }

  const Value* keys(std::size_t row) const {
    return inputs_.keys + row * (shape_.reach + shape_.time) * shape_.size;
  }

  const std::int64_t* followers(std::size_t row) const {
    return inputs_.followers + row * (shape_.reach + shape_.time - 1);
  }

  // Which of sixteen queries ask for this token, one that is a token.
  Mask asking(std::int64_t token, std::size_t part) const {
    return equal(fill(static_cast<std::int32_t>(token)), targets_[part]);
  }

  Value* weights(std::size_t row, const Block& block) const {
    const std::size_t blocks = count_of(shape_.time, kQueries);
    return result_.weights +
           (row * blocks + block.first / kQueries) * (shape_.reach + kQueries - 1) * kQueries;
  }

  const PointerShape shape_;
  const PointerInputs<Value> inputs_;
  const Pointed<Value> result_;
  Aligned<Value> queries_;  // (64, size)

 private:
  // Take up the queries of a block, padded with zeros, and what they ask for.
  void take_up(std::size_t step, std::size_t count) {
    const std::size_t size = count * shape_.size;
    std::memcpy(queries_.data(), inputs_.queries + step * shape_.size, size * sizeof(Value));
    clear(queries_.data() + size, queries_.end());
    std::int32_t targets[kQueries];
    for (std::size_t query = 0; query < kQueries; ++query) {
      targets[query] =
          static_cast<std::int32_t>(query < count ? inputs_.targets[step + query] : kNoToken);
    }
    for (std::size_t part = 0; part < kParts; ++part) {
      targets_[part] = load(targets + part * kLanes);
    }
  }

  Ints targets_[kParts];
};

class ForwardPass : Pass {
 public:
  ForwardPass(PointerShape shape, PointerInputs<Value> inputs, float sentinel,
              Pointed<Value> result)
      : Pass(shape, inputs, result),
        sentinel_(fill(sentinel)),
        packed_queries_(shape.size * kQueries),
        scores_((shape.reach + kQueries) * kQueries) {}

  void run(Range rows) {
    for_blocks(rows, [&](std::size_t row, const Block& block) {
      score(row, block);
      sum(row, block);
    });
  }

 private:
  void score(std::size_t row, const Block& block) {
    for (std::size_t query = 0; query < kQueries; ++query) {
      for (std::size_t place = 0; place < shape_.size; ++place) {
        packed_queries_[query / kWidth * kWidth * shape_.size + place / kGroup * kPanel +
                        query % kWidth * kGroup + place % kGroup] =
            queries_[query * shape_.size + place];
      }
    }
    set(maxima_, sentinel_);
    for_row_blocks(block.keys(), [&](std::size_t first, auto count) {
      float* scores = &scores_[(first - block.first) * kQueries];
      std::memset(scores, 0, count() * kQueries * sizeof(float));
      for (std::size_t panel = 0; panel < kQueries; panel += kWidth) {
        accumulate<count()>(scores + panel, kQueries, keys(row) + first * shape_.size, shape_.size,
                            &packed_queries_[panel * shape_.size], shape_.size / kGroup, kGroup);
      }
      for (int key = 0; key < count(); ++key, scores += kQueries) {
        const std::uint64_t reaching = block.reaching(first + key);
        for (std::size_t part = 0; part < kParts; ++part) {
          const Floats largest = most(maxima_[part], load(scores + part * kLanes));
          maxima_[part] = choose(part_of(reaching, part), largest, maxima_[part]);
        }
      }
    });
  }

  // Sum the exponentials of the scores: in all, at the targets, and where there is no follower.
  void sum(std::size_t row, const Block& block) {
    PerQuery sentinels, totals, at_targets, own;
    for (std::size_t part = 0; part < kParts; ++part) {
      sentinels[part] = exponential(sentinel_ - maxima_[part]);
      totals[part] = own[part] = sentinels[part];
      at_targets[part] = fill(0.0f);
    }
    Value* to = result_.weights ? weights(row, block) : nullptr;
    const float* scores = scores_.data();
    const Range keys = block.keys();
    for (std::size_t key = keys.first; key < keys.last; ++key, scores += kQueries) {
      const std::uint64_t reaching = block.reaching(key);
      const std::int64_t follower = followers(row)[key];
      for (std::size_t part = 0; part < kParts; ++part) {
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
      if (to) to += kQueries;
    }
    PerQuery scales;
    for (std::size_t part = 0; part < kParts; ++part) {
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
  Aligned<Value> packed_queries_;  // (64 / kWidth, size / kGroup, kWidth, kGroup)
  Aligned<float> scores_;          // (keys, 64)
  PerQuery maxima_;
};

class BackwardPass : Pass {
 public:
  BackwardPass(PointerShape shape, PointerInputs<Value> inputs, Pointed<Value> result,
               PointerGradients<Value> gradients)
      : Pass(shape, inputs, result),
        gradients_(gradients),
        packed_queries_(kQueries * shape.size),
        of_scores_(kKeysPerChunk * kQueries),
        packed_of_scores_(kKeysPerChunk * kQueries),
        packed_keys_(kKeysPerChunk * kWidth),
        of_queries_(kQueries * shape.size),
        of_keys_(shape.time * shape.size) {}

  void run(Range rows) {
    for_blocks(rows, [&](std::size_t row, const Block& block) {
      if (block.first == 0) of_keys_.clear();
      of_queries_.clear();
      const std::size_t step = row * shape_.time + block.first;
      take_gradients(step, block.count);
      for (std::size_t place = 0; place < shape_.size; place += kWidth) {
        pack(&queries_[place], shape_.size, kQueries / kGroup, kWidth,
             &packed_queries_[place * kQueries]);
      }
      const Range all = block.keys();
      for (std::size_t first = all.first; first < all.last; first += kKeysPerChunk) {
        const Range chunk{first, std::min(first + kKeysPerChunk, all.last)};
        through_softmax(row, weights(row, block) + (first - block.first) * kQueries, chunk);
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
    for (std::size_t part = 0; part < kParts; ++part) {
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
  void through_softmax(std::size_t row, const Value* weights, Range chunk) {
    Value* to = of_scores_.data();
    for (std::size_t key = chunk.first; key < chunk.last; ++key) {
      const std::int64_t follower = followers(row)[key];
      for (std::size_t part = 0; part < kParts; ++part) {
        const Floats above = follower == kNoToken ? of_own_[part]
                                                  : choose(asking(follower, part),
                                                           of_targets_[part], of_others_[part]);
        store(load(weights + part * kLanes) * above, to + part * kLanes);
      }
      weights += kQueries;
      to += kQueries;
    }
    clear(to, of_scores_.end());
  }

  // dq_t += Σ_s dscore_ts k_s
  void add_to_queries(std::size_t row, std::size_t queries, Range chunk) {
    // If the last group is not full, the key after it stands in it too, and counts nothing.
    const std::size_t groups = count_of(chunk.size(), kGroup);
    pack(of_scores_.data(), kQueries, groups, kQueries, packed_of_scores_.data());
    for (std::size_t place = 0; place < shape_.size; place += kWidth) {
      pack(keys(row) + chunk.first * shape_.size + place, shape_.size, groups, kWidth,
           packed_keys_.data());
      for_row_blocks({0, queries}, [&](std::size_t query, auto count) {
        accumulate<count()>(&of_queries_[query * shape_.size + place], shape_.size,
                            &packed_of_scores_[query * kGroup], kGroup, packed_keys_.data(), groups,
                            kQueries * kGroup);
      });
    }
  }

  // dk_s += Σ_t dscore_ts q_t, for the keys of this window.
  void add_to_keys(Range chunk) {
    const Range mine{std::max(chunk.first, shape_.reach), std::max(chunk.last, shape_.reach)};
    for (std::size_t place = 0; place < shape_.size; place += kWidth) {
      for_row_blocks(mine, [&](std::size_t key, auto count) {
        accumulate<count()>(&of_keys_[(key - shape_.reach) * shape_.size + place], shape_.size,
                            &of_scores_[(key - chunk.first) * kQueries], kQueries,
                            &packed_queries_[place * kQueries], kQueries / kGroup, kGroup);
      });
    }
  }

  void round(const float* sums, std::size_t count, Value* to) const {
    for (std::size_t place = 0; place < count * shape_.size; place += kLanes) {
      store(load(sums + place), to + place);
    }
  }

  const PointerGradients<Value> gradients_;
  PerQuery of_targets_, of_own_, of_others_;
  Aligned<Value> packed_queries_;    // (size / kWidth, 64 / kGroup, kWidth, kGroup)
  Aligned<Value> of_scores_;         // (keys, 64)
  Aligned<Value> packed_of_scores_;  // (keys / kGroup, 64, kGroup)
  Aligned<Value> packed_keys_;       // (keys / kGroup, kWidth, kGroup), of a panel's places
  Aligned<float> of_queries_;        // (64, size)
  Aligned<float> of_keys_;           // (time, size)
};

void forward(PointerShape shape, PointerInputs<Value> inputs, float sentinel,
             Pointed<Value> result) {
  in_team([&](const Member& member) {
    ForwardPass(shape, inputs, sentinel, result).run(share(shape.batch, member));
  });
}

void backward(PointerShape shape, PointerInputs<Value> inputs, Pointed<Value> result,
              PointerGradients<Value> gradients) {
  in_team([&](const Member& member) {
    BackwardPass(shape, inputs, result, gradients).run(share(shape.batch, member));
  });
}

}  // namespace

namespace SUNSPRING_LOOPS {
extern const Pointer<Value> pointer;
const Pointer<Value> pointer = {forward, backward};
}  // namespace SUNSPRING_LOOPS

}  // namespace sunspring
