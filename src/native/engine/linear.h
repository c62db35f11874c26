// Linear functions of a state's vectors, for many texts at once.

#pragma once

#include <optional>
#include <vector>

#include "model_file.h"
#include "state.h"
#include "team.h"

namespace sunspring {

constexpr std::size_t kMostTexts = 32;  // at once

// Consecutive columns of a weight, and the slot that they are multiplied with.
struct Columns {
  std::size_t slot, count;
};

// The embedding of each token, where it is always the same.
struct Embeddings {
  std::size_t slot, tokens, width, size;  // size: the width, padded
  Aligned<float> values;                  // (tokens, size)
};

// A linear function of a state's vectors.
class Linear {
 public:
  // `folded` may be null. Otherwise products with embeddings are taken now, once for each token.
  Linear(std::size_t rows, const Kernels& kernels, const Embeddings* folded);

  // Row r of a tensor goes to places[r].
  void add_bias(const Tensor& bias, const std::vector<std::size_t>& places);
  void add(const Tensor& weight, const std::vector<std::size_t>& places,
           const std::vector<Columns>& columns, float factor = 1);

  std::size_t blocks() const { return rows_ / kRows; }
  std::size_t bytes() const;  // that it reads
  // Of the states of `from` into those of `to`, which may be the same; `onto` adds to what is there.
  void apply(const Input* from, const Input* to, std::size_t texts, Aligned<float> State::*out,
             Range blocks, const Worker& worker, bool onto = false) const;

 private:
  struct Term {
    std::size_t slot;
    Packed weights;
  };

  void fold(const Tensor& weight, const std::vector<std::size_t>& places, std::size_t column,
            float factor);

  std::size_t rows_;  // padded
  const Kernels* kernels_;
  const Embeddings* folded_;
  std::vector<Term> terms_;
  std::vector<Aligned<float>> start_;  // of each token, or of all
};

// A linear function with one value.
class Row {
 public:
  Row(const Tensor& weight, const std::vector<Columns>& columns, float bias);
  float apply(const Kernels& kernels, const State& state) const;

 private:
  struct Term {
    std::size_t slot;
    Aligned<float> weights;
  };

  std::vector<Term> terms_;
  float bias_;
};

}  // namespace sunspring
