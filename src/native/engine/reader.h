// One text as it is read, token after token.

#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "model.h"

namespace sunspring {

// A copy has read the same, and goes on by itself.
class Reader {
 public:
  // Throws std::invalid_argument if the label is not of the model.
  explicit Reader(std::shared_ptr<const Model> model, std::int64_t label = 0);

  // Read on; gives the logits of the token after these, (vocabulary). This and `trace` throw
  // std::invalid_argument if a token is not of the model, and have then read none.
  std::vector<float> read(Span<std::int64_t> tokens, std::size_t threads = 1);

  // Read on; gives what comes after each of these tokens.
  struct Trace {
    std::vector<float> logits;   // (tokens, vocabulary)
    std::vector<float> outputs;  // (tokens, layers, hidden): of all layers
  };
  Trace trace(Span<std::int64_t> tokens, std::size_t threads);

  const std::shared_ptr<const Model>& model() const { return model_; }
  std::int32_t label() const { return label_; }
  const State& state() const { return state_; }

 private:
  std::shared_ptr<const Model> model_;
  std::int32_t label_;
  State state_;
};

}  // namespace sunspring
