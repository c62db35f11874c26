// Reading texts for what they cost or for what they leave: many at once, each from a fresh state.

#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "crew.h"
#include "model.h"

namespace sunspring {

// Texts that stand one after another.
struct Texts {
  Span<std::int64_t> tokens;   // of all
  Span<std::int64_t> lengths;  // of each
  Span<std::int64_t> labels;   // of each, or none at all
};

// What is asked for of texts.
enum class Wanted {
  costs,    // nats of each token by what stands before it in its text, (tokens)
  outputs,  // of all layers after each text, (texts, layers, hidden)
};

// What it gives of a text depends neither on the others nor on the threads.
class Reading {
 public:
  // Throws std::invalid_argument if the texts contradict themselves or are not of the model.
  Reading(std::shared_ptr<const Model> model, const Texts& texts, Wanted wanted,
          std::size_t threads);

  // Read on for so long, or to the end.
  void run(std::chrono::microseconds duration);

  bool is_over() const;
  std::size_t tokens_read() const;
  std::vector<float> take_result() { return std::move(result_); }

 private:
  using Clock = std::chrono::steady_clock;

  struct Text {
    const std::int32_t* tokens;
    std::size_t size;
    std::int32_t label;
    float* result;  // where its part goes
  };

  // A place where one text after another is read.
  struct Lane {
    const Text* text = nullptr;
    std::size_t read = 0;  // tokens, the one that stands before every text included
    State state;
  };

  // What a thread reads: a long text alone, some tokens at once, or else many short ones together.
  // If there is but one text, and a long one, the threads share the rows of the network.
  struct Group {
    Lane alone;
    std::vector<State> rooms;  // for the tokens of a long text
    std::vector<Lane> lanes;
    std::vector<Lane*> reading;
    std::vector<Input> inputs;
    std::size_t read = 0;  // tokens
    bool is_done = false, is_paused = false;
  };

  // The texts from `next` on that no lane has begun.
  struct Queue {
    std::atomic<std::size_t> next;
    std::size_t end;
  };

  std::size_t steps(const Text& text) const;
  bool has_text(Lane& lane, Queue& queue) const;
  Input input(const Lane& lane, std::size_t ahead, State& state) const;
  void take(Group& group, Lane& lane, State& made) const;
  void read_on(Group& group, const Worker& worker) const;
  bool read_some(Group& group, const Worker& worker);

  std::shared_ptr<const Model> model_;
  State initial_;
  Wanted wanted_;
  std::vector<std::int32_t> tokens_;
  std::vector<Text> texts_;  // the long ones first
  Queue long_, short_;
  std::vector<float> result_;
  std::vector<Group> groups_;
  Crew crew_;  // of each group
};

}  // namespace sunspring
