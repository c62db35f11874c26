// A model folder, loaded; and tokens and labels as those who use it give them.

#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "network.h"
#include "span.h"
#include "vocabulary.h"

namespace sunspring {

struct Model {
  // From what is in config.json, model.safetensors, tokenizer.json and counts.safetensors, which is
  // empty if there is no such file; throws ModelError. The instruction set is one for
  // `find_kernels`.
  Model(std::string_view configuration, std::string_view weights, std::string_view tokenizer,
        std::string_view instruction_set = "", std::string_view counts = "");

  std::size_t tokens() const { return vocabulary.pieces.size(); }
  std::size_t outputs() const;  // of all layers, in one step

  // The same tokens, and the same label, or 0 where a model has no labels; these throw
  // std::invalid_argument if one is not of the model.
  std::vector<std::int32_t> checked(Span<std::int64_t> tokens) const;
  std::int32_t checked_label(std::int64_t label) const;

  Vocabulary vocabulary;
  Network network;
};

// The same value; throws std::invalid_argument unless it is from `least` to below `size`.
std::int32_t checked(std::int64_t value, std::int64_t least, std::size_t size);
std::vector<std::int32_t> checked(Span<std::int64_t> values, std::int64_t least, std::size_t size);

}  // namespace sunspring
