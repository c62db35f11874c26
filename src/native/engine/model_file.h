// A model folder as train and quantize write it, checked before anything is believed.

#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "safetensors.h"

namespace sunspring {

// config.json; the words are those of sunspring.network.config.ModelConfig.
struct Configuration {
  std::string cell;
  std::size_t vocabulary_size, layers, hidden_size, embedding_size, pointer, pointer_size, labels;
  bool squashes_embedding, skip, attention, tied;

  std::size_t gates() const { return cell == "lstm" ? 4 : cell == "gru" ? 3 : 1; }
  std::size_t layer_features() const {
    return skip ? embedding_size + layers * hidden_size : hidden_size;
  }
  std::size_t features() const { return layer_features() * (attention ? 2 : 1); }
};

// Rows of floats, or of bytes with a scale each.
struct Tensor {
  std::size_t rows, columns;
  std::vector<float> floats;
  std::vector<std::int8_t> bytes;
  std::vector<float> scales;  // (rows), with bytes alone

  bool has_bytes() const { return !bytes.empty(); }
  float at(std::size_t row, std::size_t column) const {
    const std::size_t place = row * columns + column;
    return has_bytes() ? bytes[place] * scales[row] : floats[place];
  }
};

struct ModelFile {
  Configuration configuration;
  bool is_quantized;
  std::map<std::string, Tensor> tensors;  // those that the configuration asks for; where a layer's
                                          // two biases count as their sum, that is `bias`
};

// Parse what is in config.json and model.safetensors; throws ModelError.
ModelFile read_model(std::string_view configuration, std::string_view weights);

}  // namespace sunspring
