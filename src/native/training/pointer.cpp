// The pointer of pointer.h for x86-64 processors with AVX-512 and its bfloat16 products.
//
// A register holds one value for each of sixteen queries, so that maxima and sums over keys are
// operations of registers.

#include "pointer.h"

#include <algorithm>
#include <vector>

#include "vectors.h"

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

std::uint64_t first_of(std::size_t count) { return ~std::uint64_t{0} >> (kWidth - count); }

__mmask16 part_of(std::uint64_t mask, std::size_t part) {
  return static_cast<__mmask16>(mask >> (part * kLanes));
}

// One value for each of 64 queries.
using PerQuery = __m512[kRegisters];

// Values of the first `count` queries of a block; zero beyond.
void read(const float* from, std::size_t count, PerQuery& values) {
  for (std::size_t part = 0; part < kRegisters; ++part) {
    values[part] = _mm512_maskz_loadu_ps(part_of(first_of(count), part), from + part * kLanes);
  }
}

void write(const PerQuery& values, std::size_t count, float* to) {
  for (std::size_t part = 0; part < kRegisters; ++part) {
    _mm512_mask_storeu_ps(to + part * kLanes, part_of(first_of(count), part), values[part]);
  }
}

// Interleave pairs of rows, 64 wide, to the weights of `multiply`.
void pack(const bfloat16* rows, std::size_t stride, std::size_t pairs, bfloat16* packed) {
  for (std::size_t pair = 0; pair < pairs; ++pair, rows += 2 * stride) {
    for (std::size_t part = 0; part < kRegisters; ++part, packed += 2 * kLanes) {
      const auto half = [=](std::size_t row) {
        return _mm256_loadu_si256(
            reinterpret_cast<const __m256i*>(rows + row * stride + part * kLanes));
      };
      const __m512i low = _mm512_cvtepu16_epi32(half(0)), high = _mm512_cvtepu16_epi32(half(1));
      _mm512_store_si512(packed, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
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
    for (std::size_t row = rows.begin; row < rows.end; ++row) {
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
  __mmask16 asking(std::int64_t token, std::size_t part) const {
    return _mm512_cmpeq_epi32_mask(_mm512_set1_epi32(static_cast<int>(token)), targets_[part]);
  }

  bfloat16* weights(std::size_t row, const Block& block) const {
    const std::size_t blocks = (shape_.time + kWidth - 1) / kWidth;
    return result_.weights +
           (row * blocks + block.first / kWidth) * (shape_.reach + kWidth - 1) * kWidth;
  }

  const PointerShape shape_;
  const PointerInputs inputs_;
  const Pointed result_;
  std::vector<bfloat16> queries_;  // (64, size)

 private:
  // Take up the queries of a block, padded with zeros, and what they ask for.
  void take_up(std::size_t step, std::size_t count) {
    const bfloat16* from = inputs_.queries + step * shape_.size;
    const auto end = std::copy(from, from + count * shape_.size, queries_.begin());
    std::fill(end, queries_.end(), bfloat16{0});
    std::int32_t targets[kWidth];
    std::fill_n(targets, kWidth, kNoToken);
    std::copy_n(inputs_.targets + step, count, targets);
    for (std::size_t part = 0; part < kRegisters; ++part) {
      targets_[part] = _mm512_loadu_si512(targets + part * kLanes);
    }
  }

  __m512i targets_[kRegisters];
};

class ForwardPass : Pass {
 public:
  ForwardPass(PointerShape shape, PointerInputs inputs, float sentinel, Pointed result)
      : Pass(shape, inputs, result),
        sentinel_(_mm512_set1_ps(sentinel)),
        packed_queries_(aligned<bfloat16>(shape.size * kWidth)),
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
    std::fill_n(maxima_, kRegisters, sentinel_);
    for_row_blocks(block.keys(), [&](std::size_t first, auto count) {
      __m512 scores[count()][kRegisters];
      for (auto& of_key : scores) std::fill_n(of_key, kRegisters, _mm512_setzero_ps());
      multiply<count()>(scores, keys(row) + first * shape_.size, shape_.size,
                        packed_queries_.get(), shape_.size / 2);
      for (int key = 0; key < count(); ++key) {
        const std::uint64_t reaching = block.reaching(first + key);
        float* to = &scores_[(first + key - block.first) * kWidth];
        for (std::size_t part = 0; part < kRegisters; ++part) {
          maxima_[part] = _mm512_mask_max_ps(maxima_[part], part_of(reaching, part),
                                             maxima_[part], scores[key][part]);
          _mm512_storeu_ps(to + part * kLanes, scores[key][part]);
        }
      }
    });
  }

  // Sum the exponentials of the scores: in all, at the targets, and where there is no follower.
  void sum(std::size_t row, const Block& block) {
    PerQuery sentinels, totals, at_targets, own;
    for (std::size_t part = 0; part < kRegisters; ++part) {
      sentinels[part] = exponential(_mm512_sub_ps(sentinel_, maxima_[part]));
      totals[part] = own[part] = sentinels[part];
      at_targets[part] = _mm512_setzero_ps();
    }
    bfloat16* to = result_.weights ? weights(row, block) : nullptr;
    const float* scores = scores_.data();
    const Range keys = block.keys();
    for (std::size_t key = keys.begin; key < keys.end; ++key, scores += kWidth) {
      const std::uint64_t reaching = block.reaching(key);
      const std::int64_t follower = followers(row)[key];
      for (std::size_t part = 0; part < kRegisters; ++part) {
        const __m512 score = _mm512_loadu_ps(scores + part * kLanes);
        const __m512 weight = _mm512_maskz_mov_ps(
            part_of(reaching, part), exponential(_mm512_sub_ps(score, maxima_[part])));
        totals[part] = _mm512_add_ps(totals[part], weight);
        if (follower == kNoToken) {
          own[part] = _mm512_add_ps(own[part], weight);
        } else {
          at_targets[part] = _mm512_mask_add_ps(at_targets[part], asking(follower, part),
                                                at_targets[part], weight);
        }
        if (to) store(to + part * kLanes, weight);
      }
      if (to) to += kWidth;
    }
    PerQuery scales;
    for (std::size_t part = 0; part < kRegisters; ++part) {
      scales[part] = _mm512_div_ps(_mm512_set1_ps(1.0f), totals[part]);
      for (PerQuery* each : {&sentinels, &at_targets, &own}) {
        (*each)[part] = _mm512_mul_ps((*each)[part], scales[part]);
      }
    }
    const std::size_t step = row * shape_.time + block.first;
    write(at_targets, block.count, result_.at_targets + step);
    write(own, block.count, result_.own + step);
    write(sentinels, block.count, result_.sentinels + step);
    write(scales, block.count, result_.scales + step);
  }

  const __m512 sentinel_;
  Aligned<bfloat16> packed_queries_;  // (size / 2, 64, 2)
  std::vector<float> scores_;         // (keys, 64)
  PerQuery maxima_;
};

class BackwardPass : Pass {
 public:
  BackwardPass(PointerShape shape, PointerInputs inputs, Pointed result, PointerGradients gradients)
      : Pass(shape, inputs, result),
        gradients_(gradients),
        paired_queries_(aligned<bfloat16>(kWidth * shape.size)),
        of_scores_(kKeysPerChunk * kWidth),
        paired_of_scores_(aligned<bfloat16>(kKeysPerChunk * kWidth)),
        paired_keys_(aligned<bfloat16>(kKeysPerChunk * kWidth)),
        of_queries_(kWidth * shape.size),
        of_keys_(shape.time * shape.size) {}

  void run() {
    for_blocks([&](std::size_t row, const Block& block) {
      if (block.first == 0) std::fill(of_keys_.begin(), of_keys_.end(), 0.0f);
      std::fill(of_queries_.begin(), of_queries_.end(), 0.0f);
      const std::size_t step = row * shape_.time + block.first;
      take_gradients(step, block.count);
      for (std::size_t place = 0; place < shape_.size; place += kWidth) {
        pack(&queries_[place], shape_.size, kWidth / 2, paired_queries_.get() + place * kWidth);
      }
      const Range all = block.keys();
      for (std::size_t first = all.begin; first < all.end; first += kKeysPerChunk) {
        const Range chunk{first, std::min(first + kKeysPerChunk, all.end)};
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
    for (std::size_t part = 0; part < kRegisters; ++part) {
      const __m512 mean = _mm512_fmadd_ps(at_targets[part], of_targets[part],
                                          _mm512_mul_ps(own[part], of_own[part]));
      sentinels[part] = _mm512_mul_ps(sentinels[part], _mm512_sub_ps(of_own[part], mean));
      of_others_[part] = _mm512_mul_ps(scales[part], _mm512_sub_ps(_mm512_setzero_ps(), mean));
      of_targets_[part] = _mm512_mul_ps(scales[part], _mm512_sub_ps(of_targets[part], mean));
      of_own_[part] = _mm512_mul_ps(scales[part], _mm512_sub_ps(of_own[part], mean));
    }
    write(sentinels, count, gradients_.sentinels + step);
  }

  // The gradients of the scores, a_s (G of the follower of s − D), of the keys of a chunk.
  void through_softmax(std::size_t row, const bfloat16* weights, Range chunk) {
    bfloat16* to = of_scores_.data();
    for (std::size_t key = chunk.begin; key < chunk.end; ++key) {
      const std::int64_t follower = followers(row)[key];
      for (std::size_t part = 0; part < kRegisters; ++part) {
        const __m512 above = follower == kNoToken
                                 ? of_own_[part]
                                 : _mm512_mask_mov_ps(of_others_[part], asking(follower, part),
                                                      of_targets_[part]);
        store(to + part * kLanes, _mm512_mul_ps(load(weights + part * kLanes), above));
      }
      weights += kWidth;
      to += kWidth;
    }
    std::fill(to, of_scores_.data() + of_scores_.size(), bfloat16{0});
  }

  // dq_t += Σ_s dscore_ts k_s
  void add_to_queries(std::size_t row, std::size_t queries, Range chunk) {
    // If they are odd, the key after the last stands beside it, and counts nothing.
    const std::size_t pairs = (chunk.end - chunk.begin + 1) / 2;
    pack(of_scores_.data(), kWidth, pairs, paired_of_scores_.get());
    for (std::size_t place = 0; place < shape_.size; place += kWidth) {
      pack(keys(row) + chunk.begin * shape_.size + place, shape_.size, pairs, paired_keys_.get());
      for_row_blocks({0, queries}, [&](std::size_t query, auto count) {
        accumulate<count()>(&of_queries_[query * shape_.size + place], shape_.size,
                            paired_of_scores_.get() + 2 * query, 2, paired_keys_.get(), pairs,
                            kPanel);
      });
    }
  }

  // dk_s += Σ_t dscore_ts q_t, for the keys of this window.
  void add_to_keys(Range chunk) {
    const Range mine{std::max(chunk.begin, shape_.reach), std::max(chunk.end, shape_.reach)};
    for (std::size_t place = 0; place < shape_.size; place += kWidth) {
      for_row_blocks(mine, [&](std::size_t key, auto count) {
        accumulate<count()>(&of_keys_[(key - shape_.reach) * shape_.size + place], shape_.size,
                            &of_scores_[(key - chunk.begin) * kWidth], kWidth,
                            paired_queries_.get() + place * kWidth, kWidth / 2);
      });
    }
  }

  void round(const float* sums, std::size_t count, bfloat16* to) const {
    for (std::size_t place = 0; place < count * shape_.size; place += kLanes) {
      store(to + place, _mm512_loadu_ps(sums + place));
    }
  }

  const PointerGradients gradients_;
  PerQuery of_targets_, of_own_, of_others_;
  Aligned<bfloat16> paired_queries_;    // (size / 64, 32, 64, 2)
  std::vector<bfloat16> of_scores_;     // (keys, 64)
  Aligned<bfloat16> paired_of_scores_;  // (keys / 2, 64, 2)
  Aligned<bfloat16> paired_keys_;       // the same of 64 places of the keys
  std::vector<float> of_queries_;       // (64, size)
  std::vector<float> of_keys_;          // (time, size)
};

}  // namespace

void pointer_forward(PointerShape shape, PointerInputs inputs, float sentinel, Pointed result) {
#pragma omp parallel
  ForwardPass(shape, inputs, sentinel, result).run();
}

void pointer_backward(PointerShape shape, PointerInputs inputs, Pointed result,
                      PointerGradients gradients) {
#pragma omp parallel
  BackwardPass(shape, inputs, result, gradients).run();
}

}  // namespace sunspring
