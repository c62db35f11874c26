// The pointer of pointer.h for x86-64 processors with AVX-512 and its bfloat16 products.
//
// A register holds one value for each of sixteen queries. Maxima and sums over keys are then
// additions of registers, and a key adds to its follower's sums without a scatter.

#include "pointer.h"

#include <algorithm>
#include <vector>

#include "vectors.h"

namespace sunspring {
namespace {

constexpr std::size_t kKeysPerChunk = 64;  // what backward makes of them stays in the L1 cache
static_assert(kQueriesPerBlock == kWidth);

// The tokens that follow the keys of a row of the batch, numbered: their sums are few and dense
// however large the vocabulary. Number 0 is no token.
class Followers {
 public:
  explicit Followers(std::size_t vocabulary) : number_of_(vocabulary + 1, kNone) {}

  void read(const std::int64_t* followers, std::size_t count) {
    for (const std::size_t token : tokens_) number_of_[token] = kNone;
    tokens_.clear();
    number_of_keys_.clear();
    number(number_of_.size() - 1);
    for (std::size_t key = 0; key < count; ++key) number_of_keys_.push_back(number(followers[key]));
  }

  std::size_t count() const { return tokens_.size(); }
  std::size_t token(std::size_t number) const { return tokens_[number]; }
  std::size_t of_key(std::size_t key) const { return number_of_keys_[key]; }

 private:
  static constexpr std::int32_t kNone = -1;

  std::int32_t number(std::size_t token) {
    if (number_of_[token] == kNone) {
      number_of_[token] = static_cast<std::int32_t>(tokens_.size());
      tokens_.push_back(token);
    }
    return number_of_[token];
  }

  std::vector<std::int32_t> number_of_;
  std::vector<std::size_t> tokens_;
  std::vector<std::int32_t> number_of_keys_;
};

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

__mmask16 part_of(std::uint64_t mask, std::size_t part) {
  return static_cast<__mmask16>(mask >> (part * kLanes));
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
      : shape_(shape),
        inputs_(inputs),
        result_(result),
        followers_(shape.vocabulary),
        queries_(kWidth * shape.size) {}

  // Call work(row, block) for this thread's share of the batch.
  template <typename Work>
  void for_blocks(Work work) {
    const Range rows = share(shape_.batch);
    const std::size_t keys = shape_.reach + shape_.time - 1;
    for (std::size_t row = rows.begin; row < rows.end; ++row) {
      followers_.read(inputs_.followers + row * keys, keys);
      for (std::size_t first = 0; first < shape_.time; first += kWidth) {
        const Block block{first, std::min(kWidth, shape_.time - first), shape_.reach};
        begin(row, block);
        work(row, block);
      }
    }
  }

  const bfloat16* keys(std::size_t row) const {
    return inputs_.keys + row * (shape_.reach + shape_.time) * shape_.size;
  }

  bfloat16* weights(std::size_t row, const Block& block) const {
    const std::size_t blocks = (shape_.time + kWidth - 1) / kWidth;
    return result_.weights +
           (row * blocks + block.first / kWidth) * (shape_.reach + kWidth - 1) * kWidth;
  }

  const PointerShape shape_;
  const PointerInputs inputs_;
  const Pointed result_;
  Followers followers_;
  std::vector<bfloat16> queries_;    // (64, size)
  std::vector<float> of_followers_;  // (followers, 64)

 private:
  // Take up the queries of a block, padded with zeros.
  void begin(std::size_t row, const Block& block) {
    const bfloat16* from = inputs_.queries + (row * shape_.time + block.first) * shape_.size;
    const auto end = std::copy(from, from + block.count * shape_.size, queries_.begin());
    std::fill(end, queries_.end(), bfloat16{0});
    of_followers_.assign(followers_.count() * kWidth, 0.0f);
  }
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
      sum(block, result_.weights ? weights(row, block) : nullptr);
      write(row * shape_.time + block.first, block.count);
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

  // Sum the exponentials of the scores, in all and for each follower.
  void sum(const Block& block, bfloat16* weights) {
    for (std::size_t part = 0; part < kRegisters; ++part) {
      totals_[part] = exponential(_mm512_sub_ps(sentinel_, maxima_[part]));
      _mm512_storeu_ps(sentinels_ + part * kLanes, totals_[part]);
      _mm512_storeu_ps(&of_followers_[part * kLanes], totals_[part]);
    }
    const Range keys = block.keys();
    for (std::size_t key = keys.begin; key < keys.end; ++key) {
      const std::uint64_t reaching = block.reaching(key);
      const std::size_t place = (key - block.first) * kWidth;
      float* sums = &of_followers_[followers_.of_key(key) * kWidth];
      for (std::size_t part = 0; part < kRegisters; ++part) {
        const std::size_t query = part * kLanes;
        const __m512 score = _mm512_loadu_ps(&scores_[place + query]);
        const __m512 weight = _mm512_maskz_mov_ps(
            part_of(reaching, part), exponential(_mm512_sub_ps(score, maxima_[part])));
        totals_[part] = _mm512_add_ps(totals_[part], weight);
        _mm512_storeu_ps(sums + query, _mm512_add_ps(_mm512_loadu_ps(sums + query), weight));
        if (weights) store(weights + place + query, weight);
      }
    }
  }

  void write(std::size_t step, std::size_t count) const {
    float totals[kWidth];
    for (std::size_t part = 0; part < kRegisters; ++part) {
      _mm512_storeu_ps(totals + part * kLanes, totals_[part]);
    }
    for (std::size_t query = 0; query < count; ++query, ++step) {
      const float scale = 1.0f / totals[query];
      float* tokens = result_.tokens + step * shape_.vocabulary;
      std::fill_n(tokens, shape_.vocabulary, 0.0f);
      for (std::size_t number = 1; number < followers_.count(); ++number) {
        tokens[followers_.token(number)] = scale * of_followers_[number * kWidth + query];
      }
      result_.own[step] = scale * of_followers_[query];
      result_.sentinels[step] = scale * sentinels_[query];
      result_.scales[step] = scale;
    }
  }

  const __m512 sentinel_;
  Aligned<bfloat16> packed_queries_;  // (size / 2, 64, 2)
  std::vector<float> scores_;         // (keys, 64)
  float sentinels_[kWidth];
  __m512 maxima_[kRegisters], totals_[kRegisters];
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
      read(step, block.count);
      for (std::size_t place = 0; place < shape_.size; place += kWidth) {
        pack(&queries_[place], shape_.size, kWidth / 2, paired_queries_.get() + place * kWidth);
      }
      const Range all = block.keys();
      for (std::size_t first = all.begin; first < all.end; first += kKeysPerChunk) {
        const Range chunk{first, std::min(first + kKeysPerChunk, all.end)};
        through_softmax(weights(row, block) + (first - block.first) * kWidth, chunk);
        add_to_queries(row, block.count, chunk);
        add_to_keys(chunk);
      }
      write(of_queries_.data(), block.count, gradients_.queries + step * shape_.size);
      if (block.first + block.count == shape_.time) {
        write(of_keys_.data(), shape_.time, gradients_.keys + row * shape_.time * shape_.size);
      }
    });
  }

 private:
  // Take up G, the gradients of what was pointed at, by follower, and D_t = Σ_v pointed_tv G_tv;
  // both scaled as the weights are to be.
  void read(std::size_t step, std::size_t count) {
    const float *own = result_.own + step, *of_own = gradients_.own + step;
    const float* scales = result_.scales + step;
    std::fill_n(means_, kWidth, 0.0f);
    for (std::size_t query = 0; query < count; ++query) {
      of_followers_[query] = scales[query] * of_own[query];
      means_[query] = own[query] * of_own[query];
    }
    for (std::size_t number = 1; number < followers_.count(); ++number) {
      std::size_t place = step * shape_.vocabulary + followers_.token(number);
      for (std::size_t query = 0; query < count; ++query, place += shape_.vocabulary) {
        of_followers_[number * kWidth + query] = scales[query] * gradients_.tokens[place];
        means_[query] += result_.tokens[place] * gradients_.tokens[place];
      }
    }
    for (std::size_t query = 0; query < count; ++query) {
      gradients_.sentinels[step + query] =
          result_.sentinels[step + query] * (of_own[query] - means_[query]);
      means_[query] *= scales[query];
    }
  }

  // The gradients of the scores, a_s (G_follower(s) − D), of the keys of a chunk.
  void through_softmax(const bfloat16* weights, Range chunk) {
    bfloat16* to = of_scores_.data();
    for (std::size_t key = chunk.begin; key < chunk.end; ++key) {
      const float* of_follower = &of_followers_[followers_.of_key(key) * kWidth];
      for (std::size_t query = 0; query < kWidth; query += kLanes) {
        const __m512 above =
            _mm512_sub_ps(_mm512_loadu_ps(of_follower + query), _mm512_loadu_ps(means_ + query));
        store(to + query, _mm512_mul_ps(load(weights + query), above));
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

  void write(const float* sums, std::size_t count, bfloat16* to) const {
    for (std::size_t place = 0; place < count * shape_.size; place += kLanes) {
      store(to + place, _mm512_loadu_ps(sums + place));
    }
  }

  const PointerGradients gradients_;
  float means_[kWidth];
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
