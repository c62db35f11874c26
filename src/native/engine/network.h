// The network: a token in, logits of the next one out, for one text or many at once.

#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "linear.h"

namespace sunspring {

constexpr float kForbidden = -1e30f;  // the logit of what is no token
constexpr float kLeast = 1e-30f;      // keeps the logarithm of a probability finite

class Network {
 public:
  Network(const ModelFile& file, const Kernels& kernels);

  const Configuration& configuration() const { return configuration_; }
  const Kernels& kernels() const { return kernels_; }
  // Whether threads that share the rows of one text's step are faster than one alone.
  bool is_worth_sharing() const { return bytes() >= kWorthSharing; }
  State initial() const;

  // Read a token of each of at most `kMostTexts` texts; then `logits` of the states are those of
  // the next token, `kForbidden` where they are padded. What a text gets does not depend on the
  // others. All workers must call it, and the first of them may read the logits. Once a worker is
  // cancelled the step is short and the states are worth nothing.
  void step(const Input* inputs, std::size_t texts, const Worker& worker = {}) const;

  // The outputs of a state's layers, (layers · hidden).
  void copy_outputs(const State& state, float* to) const;

 private:
  struct Layer {
    Linear gates;
    std::optional<Linear> recurrent;  // of a gru, whose reset gate stands between the two
  };

  static constexpr std::size_t kWorthSharing = 1u << 19;  // bytes; fewer are read too quickly

  std::size_t bytes() const;  // that a step reads
  void add_layer(const ModelFile& file, std::size_t index);
  void add_pointer(const ModelFile& file, const std::vector<Columns>& features);
  void embed(const Input& input) const;
  void run_cells(std::size_t layer, State& state, Range blocks) const;
  void attend(State& state) const;
  void point(State& state, std::int32_t token) const;
  void keep_key(State& state, const float* key) const;
  void keep_bytes(Values& values) const;

  Configuration configuration_;
  const Kernels& kernels_;
  bool has_bytes_;
  std::size_t hidden_, vocabulary_, key_;  // padded
  Embeddings embeddings_;
  Aligned<float> label_embeddings_;  // (labels, padded)
  const Embeddings* folded_ = nullptr;
  std::vector<Columns> layer_features_;
  std::vector<Layer> layers_;
  std::optional<Row> score_;
  std::optional<Linear> head_, pointer_;
  std::optional<Row> share_;
  float sentinel_ = 0;
};

}  // namespace sunspring
