// The pointer of pointer.h for x86-64 processors with AVX-512 and its bfloat16 products.
//
// A register holds one value for each of sixteen queries. Maxima and sums over keys are then
// additions of registers, and a key adds to its follower's sums without a scatter.

#include "pointer.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "vectors.h"

namespace sunspring {
namespace {

constexpr std::size_t kKeysPerChunk = 64;  // their products with 64 queries stay in the L1 cache

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
struct Pass {
  PointerShape shape;
  PointerInputs inputs;
  Followers followers{shape.vocabulary};
  std::vector<bfloat16> queries = std::vector<bfloat16>(kWidth * shape.size);
  Aligned<bfloat16> packed_queries = aligned<bfloat16>(shape.size / 2 * kPanel);
  std::vector<float> of_followers{};  // (followers, 64)

  const bfloat16* keys(std::size_t row) const {
    return inputs.keys + row * (shape.reach + shape.time) * shape.size;
  }

  void begin_row(std::size_t row) {
    const std::size_t count = shape.reach + shape.time - 1;
    followers.read(inputs.followers + row * count, count);
  }

  // Take up the queries of a block, padded with zeros, as weights for products with keys.
  void begin_block(std::size_t row, const Block& block) {
    const bfloat16* from = inputs.queries + (row * shape.time + block.first) * shape.size;
    const auto end = std::copy(from, from + block.count * shape.size, queries.begin());
    std::fill(end, queries.end(), bfloat16{0});
    for (std::size_t query = 0; query < kWidth; ++query) {
      for (std::size_t place = 0; place < shape.size; ++place) {
        packed_queries[place / 2 * kPanel + 2 * query + place % 2] =
            queries[query * shape.size + place];
      }
    }
    of_followers.assign(followers.count() * kWidth, 0.0f);
  }

  // Call work(key, scores of the 64 queries) for some keys of a row.
  template <typename Work>
  void for_scores(std::size_t row, Range range, Work work) const {
    for_row_blocks(range, [&](std::size_t first, auto count) {
      __m512 scores[count()][kRegisters];
      for (auto& of_key : scores) std::fill_n(of_key, kRegisters, _mm512_setzero_ps());
      multiply<count()>(scores, keys(row) + first * shape.size, shape.size, packed_queries.get(),
                        shape.size / 2);
      for (int key = 0; key < count(); ++key) work(first + key, scores[key]);
    });
  }

  // Call work(row, block) for this thread's share of the batch.
  template <typename Work>
  void for_blocks(Work work) {
    const Range rows = share(shape.batch);
    for (std::size_t row = rows.begin; row < rows.end; ++row) {
      begin_row(row);
      for (std::size_t first = 0; first < shape.time; first += kWidth) {
        const Block block{first, std::min(kWidth, shape.time - first), shape.reach};
        begin_block(row, block);
        work(row, block);
      }
    }
  }
};

class ForwardPass : Pass {
 public:
  ForwardPass(PointerShape shape, PointerInputs inputs, Pointed result)
      : Pass{shape, inputs}, result_(result), scores_((shape.reach + kWidth) * kWidth) {}

  void run() {
    for_blocks([&](std::size_t row, const Block& block) {
      score(row, block);
      sum(block);
      write(row * shape.time + block.first, block.count);
    });
  }

 private:
  void score(std::size_t row, const Block& block) {
    std::fill_n(maxima_, kRegisters, _mm512_set1_ps(inputs.sentinel));
    for_scores(row, block.keys(), [&](std::size_t key, const __m512(&scores)[kRegisters]) {
      const std::uint64_t reaching = block.reaching(key);
      for (std::size_t part = 0; part < kRegisters; ++part) {
        maxima_[part] = _mm512_mask_max_ps(maxima_[part], part_of(reaching, part), maxima_[part],
                                           scores[part]);
        _mm512_storeu_ps(&scores_[(key - block.first) * kWidth + part * kLanes], scores[part]);
      }
    });
  }

  // Sum the exponentials of the scores, in all and for each follower.
  void sum(const Block& block) {
    const __m512 sentinel = _mm512_set1_ps(inputs.sentinel);
    for (std::size_t part = 0; part < kRegisters; ++part) {
      totals_[part] = exponential(_mm512_sub_ps(sentinel, maxima_[part]));
      _mm512_storeu_ps(&of_followers[part * kLanes], totals_[part]);
    }
    const Range keys = block.keys();
    for (std::size_t key = keys.begin; key < keys.end; ++key) {
      const std::uint64_t reaching = block.reaching(key);
      const float* scores = &scores_[(key - block.first) * kWidth];
      float* sums = &of_followers[followers.of_key(key) * kWidth];
      for (std::size_t part = 0; part < kRegisters; ++part) {
        const __m512 score = _mm512_loadu_ps(scores + part * kLanes);
        const __m512 weight = _mm512_maskz_mov_ps(
            part_of(reaching, part), exponential(_mm512_sub_ps(score, maxima_[part])));
        totals_[part] = _mm512_add_ps(totals_[part], weight);
        _mm512_storeu_ps(sums + part * kLanes,
                         _mm512_add_ps(_mm512_loadu_ps(sums + part * kLanes), weight));
      }
    }
  }

  void write(std::size_t step, std::size_t count) {
    float maxima[kWidth], totals[kWidth];
    for (std::size_t part = 0; part < kRegisters; ++part) {
      _mm512_storeu_ps(maxima + part * kLanes, maxima_[part]);
      _mm512_storeu_ps(totals + part * kLanes, totals_[part]);
    }
    for (std::size_t query = 0; query < count; ++query, ++step) {
      const float scale = 1.0f / totals[query];
      float* tokens = result_.tokens + step * shape.vocabulary;
      std::fill_n(tokens, shape.vocabulary, 0.0f);
      for (std::size_t number = 1; number < followers.count(); ++number) {
        tokens[followers.token(number)] = scale * of_followers[number * kWidth + query];
      }
      result_.own[step] = scale * of_followers[query];
      result_.normalizers[step] = maxima[query] + std::log(totals[query]);
    }
  }

  Pointed result_;
  std::vector<float> scores_;  // (keys, 64)
  __m512 maxima_[kRegisters], totals_[kRegisters];
};

class BackwardPass : Pass {
 public:
  BackwardPass(PointerShape shape, PointerInputs inputs, Pointed result, PointerGradients gradients)
      : Pass{shape, inputs},
        result_(result),
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
      const std::size_t step = row * shape.time + block.first;
      read(step, block.count);
      for (std::size_t place = 0; place < shape.size; place += kWidth) {
        pack(queries.data() + place, shape.size, kWidth / 2, paired_queries_.get() + place * kWidth);
      }
      std::fill(of_queries_.begin(), of_queries_.end(), 0.0f);
      const Range all = block.keys();
      for (std::size_t first = all.begin; first < all.end; first += kKeysPerChunk) {
        const Range chunk{first, std::min(first + kKeysPerChunk, all.end)};
        through_softmax(row, block, chunk);
        add_to_queries(row, block, chunk);
        add_to_keys(chunk);
      }
      write(of_queries_.data(), block.count, gradients_.queries + step * shape.size);
      if (block.first + block.count == shape.time) {
        write(of_keys_.data(), shape.time, gradients_.keys + row * shape.time * shape.size);
      }
    });
  }

 private:
  // Take up G, the gradients of what was pointed at, by follower, and D_t = Σ_v pointed_tv G_tv.
  void read(std::size_t step, std::size_t count) {
    std::fill_n(means_, kWidth, 0.0f);
    std::fill_n(normalizers_, kWidth, 0.0f);
    for (std::size_t query = 0; query < count; ++query, ++step) {
      const float own = gradients_.own[step];
      const float* of_tokens = gradients_.tokens + step * shape.vocabulary;
      const float* tokens = result_.tokens + step * shape.vocabulary;
      of_followers[query] = own;
      float mean = own * result_.own[step];
      for (std::size_t number = 1; number < followers.count(); ++number) {
        const std::size_t token = followers.token(number);
        of_followers[number * kWidth + query] = of_tokens[token];
        mean += of_tokens[token] * tokens[token];
      }
      means_[query] = mean;
      normalizers_[query] = result_.normalizers[step];
      gradients_.sentinels[step] =
          std::exp(inputs.sentinel - result_.normalizers[step]) * (own - mean);
    }
  }

  // The gradients of the scores, a_s (G_follower(s) − D), of the keys of a chunk.
  void through_softmax(std::size_t row, const Block& block, Range chunk) {
    for_scores(row, chunk, [&](std::size_t key, const __m512(&scores)[kRegisters]) {
      const std::uint64_t reaching = block.reaching(key);
      const float* of_follower = &of_followers[followers.of_key(key) * kWidth];
      bfloat16* to = &of_scores_[(key - chunk.begin) * kWidth];
      for (std::size_t part = 0; part < kRegisters; ++part) {
        const std::size_t query = part * kLanes;
        const __m512 weight =
            exponential(_mm512_sub_ps(scores[part], _mm512_loadu_ps(normalizers_ + query)));
        const __m512 above =
            _mm512_sub_ps(_mm512_loadu_ps(of_follower + query), _mm512_loadu_ps(means_ + query));
        store(to + query, _mm512_maskz_mul_ps(part_of(reaching, part), weight, above));
      }
    });
    std::fill(of_scores_.begin() + (chunk.end - chunk.begin) * kWidth, of_scores_.end(),
              bfloat16{0});
  }

  // dq_t += Σ_s dscore_ts k_s
  void add_to_queries(std::size_t row, const Block& block, Range chunk) {
    // If they are odd, the key after the last stands beside it, and counts nothing.
    const std::size_t pairs = (chunk.end - chunk.begin + 1) / 2;
    pack(of_scores_.data(), kWidth, pairs, paired_of_scores_.get());
    for (std::size_t place = 0; place < shape.size; place += kWidth) {
      pack(keys(row) + chunk.begin * shape.size + place, shape.size, pairs, paired_keys_.get());
      for_row_blocks({0, block.count}, [&](std::size_t query, auto count) {
        accumulate<count()>(&of_queries_[query * shape.size + place], shape.size,
                            paired_of_scores_.get() + 2 * query, 2, paired_keys_.get(), pairs,
                            kPanel);
      });
    }
  }

  // dk_s += Σ_t dscore_ts q_t, for the keys of this window.
  void add_to_keys(Range chunk) {
    const Range mine{std::max(chunk.begin, shape.reach), std::max(chunk.end, shape.reach)};
    for (std::size_t place = 0; place < shape.size; place += kWidth) {
      for_row_blocks(mine, [&](std::size_t key, auto count) {
        accumulate<count()>(&of_keys_[(key - shape.reach) * shape.size + place], shape.size,
                            &of_scores_[(key - chunk.begin) * kWidth], kWidth,
                            paired_queries_.get() + place * kWidth, kWidth / 2);
      });
    }
  }

  void write(const float* sums, std::size_t count, bfloat16* to) const {
    for (std::size_t place = 0; place < count * shape.size; place += kLanes) {
      store(to + place, _mm512_loadu_ps(sums + place));
    }
  }

  Pointed result_;
  PointerGradients gradients_;
  float means_[kWidth], normalizers_[kWidth];
  Aligned<bfloat16> paired_queries_;    // (size / 64, 32, 64, 2)
  std::vector<bfloat16> of_scores_;     // (keys, 64)
  Aligned<bfloat16> paired_of_scores_;  // (keys / 2, 64, 2)
  Aligned<bfloat16> paired_keys_;       // the same of 64 places of the keys
  std::vector<float> of_queries_;       // (64, size)
  std::vector<float> of_keys_;          // (time, size)
};

}  // namespace

void pointer_forward(PointerShape shape, PointerInputs inputs, Pointed result) {
#pragma omp parallel
  ForwardPass(shape, inputs, result).run();
}

void pointer_backward(PointerShape shape, PointerInputs inputs, Pointed result,
                      PointerGradients gradients) {
#pragma omp parallel
  BackwardPass(shape, inputs, result, gradients).run();
}

}  // namespace sunspring
