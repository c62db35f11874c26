#include "network.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sunspring {
namespace {

constexpr std::size_t kTables = 8u << 20;  // bytes that what embeddings add may take
constexpr std::int32_t kNothing = -1;      // no token

std::vector<std::size_t> places_from(std::size_t first, std::size_t rows) {
  std::vector<std::size_t> places(rows);
  std::iota(places.begin(), places.end(), first);
  return places;
}

// The places of a layer's rows: sixteen units of each gate in turn.
std::vector<std::size_t> gate_places(std::size_t gates, std::size_t units) {
  std::vector<std::size_t> places(gates * units);
  for (std::size_t row = 0; row < places.size(); ++row) {
    const std::size_t gate = row / units, unit = row % units;
    places[row] = (unit / kRows * gates + gate) * kRows + unit % kRows;
  }
  return places;
}

Aligned<float> padded_rows(const Tensor& tensor) {
  const std::size_t width = padded(tensor.columns);
  Aligned<float> result(tensor.rows * width);
  for (std::size_t row = 0; row < tensor.rows; ++row) {
    for (std::size_t column = 0; column < tensor.columns; ++column) {
      result[row * width + column] = tensor.at(row, column);
    }
  }
  return result;
}

// The functions of vectors, of one number.
float exponential(const Kernels& kernels, float x) {
  alignas(64) float values[kRows] = {x};
  kernels.exponentials(values, kRows, 0, 1);
  return values[0];
}

float sigmoid(const Kernels& kernels, float x) {
  alignas(64) float values[kRows] = {x / 2};
  kernels.squash(values, kRows);
  return (values[0] + 1) / 2;
}

}  // namespace

Network::Network(const ModelFile& file, std::optional<Counts> counts, const Kernels& kernels)
    : configuration_(file.configuration),
      counts_(std::move(counts)),
      kernels_(kernels),
      has_bytes_(file.is_quantized),
      hidden_(padded(file.configuration.hidden_size)),
      vocabulary_(padded(file.configuration.vocabulary_size)),
      key_(padded(file.configuration.pointer_size)),
      embeddings_{file.configuration.layers, file.configuration.vocabulary_size,
                  file.configuration.embedding_size, padded(file.configuration.embedding_size),
                  padded_rows(file.tensors.at("embedding.weight"))} {
  const Configuration& c = configuration_;
  if (c.labels) {
    label_embeddings_ = padded_rows(file.tensors.at("label_embedding.weight"));
  } else {
    if (c.squashes_embedding) kernels.squash(embeddings_.values.data(), embeddings_.values.size());
    const std::size_t of_layers = (c.skip ? c.layers : 1) * c.gates() * hidden_;
    const std::size_t of_features = c.skip ? vocabulary_ + 2 * key_ : 0;
    const std::size_t bytes = c.vocabulary_size * (of_layers + of_features) * sizeof(float);
    if (bytes <= kTables) folded_ = &embeddings_;
  }
  for (std::size_t layer = c.skip ? 0 : c.layers - 1; layer < c.layers; ++layer) {
    layer_features_.push_back({layer, c.hidden_size});
  }
  if (c.skip) layer_features_.push_back({c.layers, c.embedding_size});
  std::vector<Columns> features = layer_features_;
  if (c.attention) {
    score_.emplace(file.tensors.at("attention.score.weight"), layer_features_, 0);
    for (std::size_t part = 0; part < layer_features_.size(); ++part) {
      features.push_back({c.layers + 1 + part, layer_features_[part].count});
    }
  }
  for (std::size_t layer = 0; layer < c.layers; ++layer) add_layer(file, layer);
  head_.emplace(c.vocabulary_size, kernels_, folded_);
  const std::vector<std::size_t> places = places_from(0, c.vocabulary_size);
  head_->add_bias(file.tensors.at("head.bias"), places);
  head_->add(file.tensors.at(c.tied ? "embedding.weight" : "head.weight"), places, features);
  if (c.pointer) add_pointer(file, features);
}

void Network::add_layer(const ModelFile& file, std::size_t index) {
  const Configuration& c = configuration_;
  const auto tensor = [&](const char* name) -> const Tensor& {
    return file.tensors.at("layers." + std::to_string(index) + "." + name);
  };
  const std::vector<std::size_t> places = gate_places(c.gates(), c.hidden_size);
  std::vector<Columns> below;
  if (index) below.push_back({index - 1, c.hidden_size});
  if (!index || c.skip) below.push_back({c.layers, c.embedding_size});
  const std::vector<Columns> own = {{index, c.hidden_size}};
  Layer layer{Linear(c.gates() * hidden_, kernels_, folded_),
              Linear(c.gates() * hidden_, kernels_, nullptr)};
  layer.gates.add(tensor("weight_ih_l0"), places, below);
  layer.gates.add_bias(tensor(has_gru() ? "bias_ih_l0" : "bias"), places);
  layer.recurrent.add(tensor("weight_hh_l0"), places, own);
  if (has_gru()) layer.recurrent.add_bias(tensor("bias_hh_l0"), places);
  layers_.push_back(std::move(layer));
}

void Network::add_pointer(const ModelFile& file, const std::vector<Columns>& features) {
  const std::size_t size = configuration_.pointer_size;
  const auto tensor = [&](const char* name) -> const Tensor& {
    return file.tensors.at(std::string("pointer.") + name);
  };
  const float sharpness = std::exp(tensor("sharpness").floats[0]);
  pointer_.emplace(2 * key_, kernels_, folded_);
  pointer_->add(tensor("query.weight"), places_from(0, size), features,
                sharpness / std::sqrt(static_cast<float>(size)));
  pointer_->add(tensor("key.weight"), places_from(key_, size), features);
  share_.emplace(tensor("share.weight"), features, tensor("share.bias").floats[0]);
  sentinel_ = tensor("sentinel").floats[0];
}

std::size_t Network::bytes() const {
  std::size_t result = head_->bytes() + (pointer_ ? pointer_->bytes() : 0);
  for (const Layer& layer : layers_) {
    result += layer.gates.bytes() + layer.recurrent.bytes();
  }
  return result;
}

State Network::initial() const {
  const Configuration& c = configuration_;
  State state = room();
  if (c.cell == "lstm") state.cells.assign(c.layers, Aligned<float>(hidden_));
  if (c.attention) {
    for (const Columns& part : layer_features_) state.sums.emplace_back(padded(part.count));
  }
  if (c.pointer) {
    state.keys.emplace(c.pointer + 1, c.pointer_size, has_bytes_);  // one more for the sentinel
    state.followers.assign(c.pointer, kNothing);
    state.scores = Aligned<float>(padded(c.pointer + 1));
    state.masses = Aligned<float>(vocabulary_);
    state.query.emplace(c.pointer_size);
  }
  if (counts_) {
    state.contexts = counts_->initial();
    state.mixed = Aligned<float>(vocabulary_);
  }
  return state;
}

State Network::room() const {
  const Configuration& c = configuration_;
  State state;
  for (std::size_t layer = 0; layer < c.layers; ++layer) {
    state.slots.emplace_back(c.hidden_size);
    keep_bytes(state.slots.back());
    state.slots.back().scale = 1 / kUnit;
  }
  state.slots.emplace_back(c.embedding_size);
  state.gates = Aligned<float>(c.gates() * hidden_);
  if (c.cell == "gru") state.recurrent_gates = Aligned<float>(c.gates() * hidden_);
  if (c.attention) {
    for (const Columns& part : layer_features_) state.slots.emplace_back(part.count);
  }
  if (c.pointer) state.projected = Aligned<float>(2 * key_);
  state.logits = Aligned<float>(vocabulary_);
  return state;
}

void Network::step(const Input* inputs, std::size_t texts, const Worker& worker) const {
  if (worker.is_first()) std::for_each_n(inputs, texts, [&](const Input& input) { embed(input); });
  worker.wait();
  const std::size_t gates = configuration_.gates();
  const Range units = worker.share(hidden_ / kRows);
  const Range rows = {units.first * gates, units.last * gates};
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    const Layer& each = layers_[layer];
    each.gates.apply(inputs, inputs, texts, &State::gates, rows, worker);
    each.recurrent.apply(inputs, inputs, texts, recurrent_gates(), rows, worker, !has_gru());
    worker.wait();  // until nobody reads the outputs of the step before
    for (std::size_t text = 0; text < texts; ++text) {
      run_cells(layer, *inputs[text].state, *inputs[text].state, units);
    }
    worker.wait();
  }
  if (score_) {
    if (worker.is_first()) {
      std::for_each_n(inputs, texts,
                      [&](const Input& input) { attend(*input.state, *input.state); });
    }
    worker.wait();
  }
  head_->apply(inputs, inputs, texts, &State::logits, worker.share(head_->blocks()), worker);
  if (pointer_) {
    pointer_->apply(inputs, inputs, texts, &State::projected, worker.share(pointer_->blocks()),
                    worker);
  }
  worker.wait();
  if (!worker.is_first()) return;
  for (std::size_t text = 0; text < texts; ++text) {
    predict(*inputs[text].state, *inputs[text].state, inputs[text].token);
  }
}

void Network::read(State& state, const Input* tokens, std::size_t count,
                   const Worker& worker) const {
  if (worker.is_first()) std::for_each_n(tokens, count, [&](const Input& token) { embed(token); });
  worker.wait();
  const std::size_t gates = configuration_.gates();
  const Range units = worker.share(hidden_ / kRows);
  const Range rows = {units.first * gates, units.last * gates};
  const Input before = {&state, kNothing, 0};
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    const Layer& each = layers_[layer];
    each.gates.apply(tokens, tokens, count, &State::gates, rows, worker);
    for (std::size_t i = 0; i < count; ++i) {
      const Input* previous = i ? &tokens[i - 1] : &before;
      State& made = *tokens[i].state;
      each.recurrent.apply(previous, &tokens[i], 1, recurrent_gates(), rows, worker, !has_gru());
      if (has_gru()) {  // which changes the outputs before, in their place
        const float* outputs = previous->state->slots[layer].floats.data();
        std::copy(outputs + units.first * kRows, outputs + units.last * kRows,
                  made.slots[layer].floats.data() + units.first * kRows);
      }
      run_cells(layer, state, made, units);
      worker.wait();
    }
  }
  if (score_) {
    if (worker.is_first()) {
      std::for_each_n(tokens, count, [&](const Input& token) { attend(state, *token.state); });
    }
    worker.wait();
  }
  head_->apply(tokens, tokens, count, &State::logits, worker.share(head_->blocks()), worker);
  if (pointer_) {
    pointer_->apply(tokens, tokens, count, &State::projected, worker.share(pointer_->blocks()),
                    worker);
  }
  worker.wait();
  if (!worker.is_first()) return;
  for (std::size_t i = 0; i < count; ++i) predict(state, *tokens[i].state, tokens[i].token);
  for (std::size_t layer = 0; layer < layers_.size(); ++layer) {
    state.slots[layer] = tokens[count - 1].state->slots[layer];
  }
}

void Network::copy_outputs(const State& state, float* to) const {
  const std::size_t size = configuration_.hidden_size;
  for (std::size_t layer = 0; layer < configuration_.layers; ++layer) {
    std::copy_n(state.slots[layer].floats.data(), size, to + layer * size);
  }
}

void Network::embed(const Input& input) const {
  const std::size_t size = embeddings_.size;
  Values& embedded = input.state->slots[embeddings_.slot];
  float* values = embedded.floats.data();
  std::copy_n(embeddings_.values.data() + input.token * size, size, values);
  if (configuration_.labels) {
    const float* label = label_embeddings_.data() + input.label * size;
    kernels_.accumulate(values, 1, label, 1, size);
    if (configuration_.squashes_embedding) kernels_.squash(values, size);
  }
  if (has_bytes_ && !folded_) keep_bytes(embedded);
}

void Network::run_cells(std::size_t layer, State& state, State& made, Range blocks) const {
  const std::size_t first = blocks.first * kRows, units = (blocks.last - blocks.first) * kRows;
  float* output = made.slots[layer].floats.data() + first;
  std::int8_t* bytes = made.slots[layer].bytes.data() + first;
  const std::size_t first_gate = first * configuration_.gates();
  const float* gates = made.gates.data() + first_gate;
  if (configuration_.cell == "lstm") {
    kernels_.lstm(gates, units, state.cells[layer].data() + first, output, bytes);
  } else if (has_gru()) {
    kernels_.gru(gates, made.recurrent_gates.data() + first_gate, units, output, bytes);
  } else {
    kernels_.rnn(gates, units, output, bytes);
  }
}

// The average of all features so far, each weighted by exp(score); Felbo et al. 2017, section 3.3.
void Network::attend(State& state, State& made) const {
  const float score = score_->apply(kernels_, made);
  const float largest = std::max(state.largest, score);
  const float carried = exponential(kernels_, state.largest - largest);
  const float weight = exponential(kernels_, score - largest);
  state.largest = largest;
  state.total = state.total * carried + weight;
  for (std::size_t part = 0; part < layer_features_.size(); ++part) {
    const Aligned<float>& features = made.slots[layer_features_[part].slot].floats;
    Values& average = made.slots[configuration_.layers + 1 + part];
    float* sums = state.sums[part].data();
    kernels_.accumulate(sums, carried, features.data(), weight, features.size());
    kernels_.scale(sums, 1 / state.total, average.floats.data(), features.size());
    if (has_bytes_) keep_bytes(average);
  }
}

// Make of the head's logits those of the whole model.
void Network::predict(State& state, State& made, std::int32_t token) const {
  if (pointer_) point(state, made, token);
  float* logits = made.logits.data();
  std::fill(logits + configuration_.vocabulary_size, made.logits.end(), kForbidden);
  if (counts_) {
    counts_->read(state.contexts, token);
    counts_->mix(state.contexts, logits, state.mixed.data(), kernels_);
  }
}

// Mix into the logits what followed similar places (Merity et al. 2017), and remember this place.
void Network::point(State& state, State& made, std::int32_t token) const {
  const std::size_t reach = configuration_.pointer, size = state.scores.size();
  if (state.steps) state.followers[(state.steps - 1) % reach] = token;
  float* scores = state.scores.data();
  const float* query = made.projected.data();
  std::fill_n(scores, size, 0.0f);
  Vector vector = {query, 1};
  if (state.keys->has_bytes()) {
    const float scale = kernels_.quantize(query, key_, state.query->bytes.data());
    vector = {state.query->bytes.data(), scale};
  }
  kernels_.multiply(state.keys->matrix(), 0, size / kRows, &vector, &scores, &scores, 1);
  scores[reach] = sentinel_;
  std::fill(scores + reach + 1, scores + size, kForbidden);
  const float total = kernels_.exponentials(scores, size, kernels_.largest(scores, size), 1);

  float* masses = state.masses.data();
  std::fill_n(masses, vocabulary_, 0.0f);
  float unused = scores[reach];
  for (std::size_t place = 0; place < reach; ++place) {
    const std::int32_t follower = state.followers[place];
    (follower == kNothing ? unused : masses[follower]) += scores[place];
  }
  float* logits = made.logits.data();
  std::fill(logits + configuration_.vocabulary_size, logits + vocabulary_, kForbidden);
  const float largest = kernels_.largest(logits, vocabulary_);
  const float network_total = kernels_.exponentials(logits, vocabulary_, largest, 1);
  const float share = sigmoid(kernels_, share_->apply(kernels_, made));
  const float rest = 1 - share * (1 - unused / total);
  kernels_.accumulate(logits, rest / network_total, masses, share / total, vocabulary_);
  for (std::size_t i = 0; i < vocabulary_; ++i) logits[i] += kLeast;
  kernels_.logarithms(logits, vocabulary_);

  keep_key(state, query + key_);
}

void Network::keep_key(State& state, const float* key) const {
  const std::size_t place = state.steps++ % configuration_.pointer;
  if (state.keys->has_bytes()) {
    const Matrix& matrix = state.keys->matrix();
    matrix.scales[place] = kernels_.quantize(key, key_, state.query->bytes.data());
    kernels_.keep_row(state.query->bytes.data(), matrix, place);
  } else {
    for (std::size_t i = 0; i < key_; ++i) state.keys->at(place, i) = key[i];
  }
}

void Network::keep_bytes(Values& values) const {
  values.scale = kernels_.quantize(values.floats.data(), values.floats.size(), values.bytes.data());
}

}  // namespace sunspring
