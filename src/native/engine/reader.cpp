#include "reader.h"

#include <algorithm>

#include "team.h"

namespace sunspring {

Reader::Reader(std::shared_ptr<const Model> model, std::int64_t label)
    : model_(std::move(model)),
      label_(model_->checked_label(label)),
      state_(model_->network.initial()) {}

std::vector<float> Reader::read(Span<std::int64_t> tokens, std::size_t threads) {
  const std::vector<std::int32_t> checked = model_->checked(tokens);
  const Network& network = model_->network;
  std::vector<State> rooms(std::min(kMostTexts, checked.size()), network.room());
  const bool is_short = checked.size() < kMostTexts || !network.is_worth_sharing();
  threads = is_short ? 1 : usable(threads);
  Barrier barrier(threads);
  in_threads(threads, [&](std::size_t thread) {
    const Worker worker = {thread, threads, threads > 1 ? &barrier : nullptr};
    std::vector<Input> inputs;
    for (std::size_t first = 0; first < checked.size(); first += inputs.size()) {
      inputs.clear();
      const std::size_t count = std::min(rooms.size(), checked.size() - first);
      for (std::size_t i = 0; i < count; ++i) {
        inputs.push_back({&rooms[i], checked[first + i], label_});
      }
      network.read(state_, inputs.data(), count, worker);
    }
  });
  if (!rooms.empty()) state_.logits = rooms[(checked.size() - 1) % rooms.size()].logits;
  return {state_.logits.data(), state_.logits.data() + model_->tokens()};
}

Reader::Trace Reader::trace(Span<std::int64_t> tokens, std::size_t threads) {
  const std::vector<std::int32_t> checked = model_->checked(tokens);
  const Network& network = model_->network;
  const std::size_t size = model_->tokens(), width = model_->outputs();
  Trace result{std::vector<float>(checked.size() * size),
               std::vector<float>(checked.size() * width)};
  threads = network.is_worth_sharing() ? usable(threads) : 1;
  Barrier barrier(threads);
  in_threads(threads, [&](std::size_t thread) {
    const Worker worker = {thread, threads, threads > 1 ? &barrier : nullptr};
    for (std::size_t i = 0; i < checked.size(); ++i) {
      const Input input = {&state_, checked[i], label_};
      network.step(&input, 1, worker);
      if (!worker.is_first()) continue;
      std::copy_n(state_.logits.data(), size, &result.logits[i * size]);
      network.copy_outputs(state_, &result.outputs[i * width]);
    }
  });
  return result;
}

}  // namespace sunspring
