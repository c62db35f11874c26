// The network: a token in, logits of the next one out, for one text or many at once. If the model
// has counts, its logits are those of the mixture.

#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "linear.h"

namespace sunspring {

class Network {
 public:
  Network(const ModelFile& file, std::optional<Counts> counts, const Kernels& kernels);

  const Configuration& configuration() const { return configuration_; }
  const Kernels& kernels() const { return kernels_; }
  // Whether threads that share the rows of one text's step are faster than one alone.
  bool is_worth_sharing() const { return bytes() >= kWorthSharing; }
  State initial() const;
  // Room for what a step makes, without what is remembered: see `read`.
  State room() const;

  // Read a token of each of at most `kMostTexts` texts; then `logits` of the states are those of
  // the next token, `kForbidden` where they are padded. What a text gets does not depend on the
  // others. All workers must call it, and the first of them may read the logits. Once a worker is
  // cancelled the step is short and the states are worth nothing.
  void step(const Input* inputs, std::size_t texts, const Worker& worker = {}) const;

  // Read at most `kMostTexts` tokens of one text, layer after layer, so that a layer's weights are
  // fetched once for all of them: to the last bit what as many steps make. Each token has room of
  // its own, where its logits are; `state` is the text's, before and after. All workers must call
  // it, and the first of them may read the logits and the state.
  void read(State& state, const Input* tokens, std::size_t count, const Worker& worker = {}) const;

  // The outputs of a state's layers, (layers · hidden).
  void copy_outputs(const State& state, float* to) const;

 private:
  struct Layer {
    Linear gates;      // of what comes from below
    Linear recurrent;  // added to them, but by a gru, whose reset gate stands between the two
  };

  static constexpr std::size_t kWorthSharing = 1u << 19;  // bytes; fewer are read too quickly

  std::size_t bytes() const;  // that a step reads
  void add_layer(const ModelFile& file, std::size_t index);
  void add_pointer(const ModelFile& file, const std::vector<Columns>& features);
  void embed(const Input& input) const;
  bool has_gru() const { return configuration_.cell == "gru"; }
  // Where the recurrent products go.
  Aligned<float> State::*recurrent_gates() const {
    return has_gru() ? &State::recurrent_gates : &State::gates;
  }
  // These read and change what `state` remembers, and make of it what `made` has room for.
  void run_cells(std::size_t layer, State& state, State& made, Range blocks) const;
  void attend(State& state, State& made) const;
  void predict(State& state, State& made, std::int32_t token) const;
  void point(State& state, State& made, std::int32_t token) const;
  void keep_key(State& state, const float* key) const;
  void keep_bytes(Values& values) const;

  Configuration configuration_;
  std::optional<Counts> counts_;
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
