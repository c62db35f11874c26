#include "reader.h"

#include <algorithm>

#include "team.h"

namespace sunspring {

Reader::Reader(std::shared_ptr<const Model> model, std::int64_t label)
    : model_(std::move(model)),
      label_(model_->checked_label(label)),
      state_(model_->network.initial()) {}

std::vector<float> Reader::read(Span<std::int64_t> tokens) {
  for (const std::int32_t token : model_->checked(tokens)) {
    const Input input = {&state_, token, label_};
    model_->network.step(&input, 1);
  }
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
