#include "reader.h"

#include <algorithm>

#include "crew.h"

namespace sunspring {
namespace {

constexpr std::size_t kTurn = 8 * kMostTexts;  // tokens

// Call work(first, last, worker) in threads that take steps together, for one turn after another.
template <typename Work>
void in_turns(std::size_t tokens, std::size_t threads, const Work& work) {
  Crew crew(threads);
  for (std::size_t first = 0; first < tokens; first += kTurn) {
    const std::size_t last = std::min(tokens, first + kTurn);
    crew.take_turn(1, [&](std::size_t, const Worker& worker) {
      work(first, last, worker);
      return last - first;
    });
  }
}

}  // namespace

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
  in_turns(checked.size(), threads, [&](std::size_t first, std::size_t last, const Worker& worker) {
    std::vector<Input> inputs;
    for (; first < last; first += inputs.size()) {
      inputs.clear();
      const std::size_t count = std::min(rooms.size(), last - first);
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
  in_turns(checked.size(), threads, [&](std::size_t first, std::size_t last, const Worker& worker) {
    for (std::size_t i = first; i < last; ++i) {
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
