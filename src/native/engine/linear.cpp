#include "linear.h"

#include <algorithm>

namespace sunspring {

Linear::Linear(std::size_t rows, const Kernels& kernels, const Embeddings* folded)
    : rows_(padded(rows)),
      kernels_(&kernels),
      folded_(folded),
      start_(1, Aligned<float>(rows_)) {}

void Linear::add_bias(const Tensor& bias, const std::vector<std::size_t>& places) {
  for (Aligned<float>& start : start_) {
    for (std::size_t row = 0; row < places.size(); ++row) start[places[row]] += bias.floats[row];
  }
}

void Linear::add(const Tensor& weight, const std::vector<std::size_t>& places,
                 const std::vector<Columns>& columns, float factor) {
  std::size_t first = 0;
  for (const auto& [slot, count] : columns) {
    if (folded_ && slot == folded_->slot) {
      fold(weight, places, first, factor);
    } else {
      Term term{slot, Packed(rows_, count, weight.has_bytes())};
      const Matrix& matrix = term.weights.matrix();
      std::vector<std::int8_t> row_bytes(matrix.columns);
      for (std::size_t row = 0; row < weight.rows; ++row) {
        if (weight.has_bytes()) {
          std::copy_n(&weight.bytes[row * weight.columns + first], count, row_bytes.begin());
          matrix.scales[places[row]] = weight.scales[row] * factor;
          kernels_->pack_row(row_bytes.data(), matrix, places[row]);
        } else {
          for (std::size_t column = 0; column < count; ++column) {
            term.weights.at(places[row], column) = weight.at(row, first + column) * factor;
          }
        }
      }
      terms_.push_back(std::move(term));
    }
    first += count;
  }
}

void Linear::fold(const Tensor& weight, const std::vector<std::size_t>& places, std::size_t column,
                  float factor) {
  if (start_.size() == 1) start_.resize(folded_->tokens, start_[0]);
  for (std::size_t token = 0; token < folded_->tokens; ++token) {
    const float* embedding = folded_->values.data() + token * folded_->size;
    for (std::size_t row = 0; row < weight.rows; ++row) {
      double sum = 0;
      for (std::size_t i = 0; i < folded_->width; ++i) {
        sum += static_cast<double>(weight.at(row, column + i)) * embedding[i];
      }
      start_[token][places[row]] += static_cast<float>(sum) * factor;
    }
  }
}

std::size_t Linear::bytes() const {
  std::size_t result = 0;
  for (const Term& term : terms_) {
    const Matrix& matrix = term.weights.matrix();
    const std::size_t size = matrix.blocks * kRows * matrix.columns;
    result += term.weights.has_bytes() ? size : size * sizeof(float);
  }
  return result;
}

void Linear::apply(const Input* from, const Input* to, std::size_t texts,
                   Aligned<float> State::*out, Range blocks, const Worker& worker,
                   bool onto) const {
  const float* starts[kMostTexts];
  float* outs[kMostTexts];
  Vector vectors[kMostTexts];
  for (std::size_t text = 0; text < texts; ++text) {
    outs[text] = (to[text].state->*out).data();
    starts[text] = onto ? outs[text] : start_[start_.size() > 1 ? from[text].token : 0].data();
  }
  for (const Term& term : terms_) {
    if (worker.is_cancelled()) return;
    for (std::size_t text = 0; text < texts; ++text) {
      const Values& values = from[text].state->slots[term.slot];
      vectors[text] = {values.floats.data(), 1};
      if (term.weights.has_bytes()) vectors[text] = {values.bytes.data(), values.scale};
    }
    kernels_->multiply(term.weights.matrix(), blocks.first, blocks.last, vectors, starts, outs,
                       texts);
    std::copy_n(outs, texts, starts);
  }
  if (terms_.empty()) {
    const std::size_t first = blocks.first * kRows, rows = blocks.last * kRows - first;
    for (std::size_t text = 0; text < texts; ++text) {
      std::copy_n(starts[text] + first, rows, outs[text] + first);
    }
  }
}

Row::Row(const Tensor& weight, const std::vector<Columns>& columns, float bias) : bias_(bias) {
  std::size_t first = 0;
  for (const auto& [slot, count] : columns) {
    Term term{slot, Aligned<float>(padded(count))};
    for (std::size_t i = 0; i < count; ++i) term.weights[i] = weight.at(0, first + i);
    terms_.push_back(std::move(term));
    first += count;
  }
}

float Row::apply(const Kernels& kernels, const State& state) const {
  float result = bias_;
  for (const Term& term : terms_) {
    const Aligned<float>& values = state.slots[term.slot].floats;
    result += kernels.dot(term.weights.data(), values.data(), values.size());
  }
  return result;
}

}  // namespace sunspring
