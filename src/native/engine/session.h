// Writing: texts from seeds, many at once, each as if it were alone.

#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "draft.h"
#include "network.h"
#include "sampling.h"

namespace sunspring {

// A network that has a share in the predictions. The vocabulary is that of the first.
struct Voice {
  const Network* network;
  float share;
  std::vector<std::int32_t> tokens;  // (vocabulary), as this network knows them; −1: it does not
};

// Texts to be written alike, one for each seed from `seed` on.
struct Request {
  std::vector<State> states;         // of each voice, after the prompt
  std::vector<std::int32_t> labels;  // of each voice, for a network that has labels
  std::vector<std::int32_t> recent;  // the latest tokens of the prompt
  DraftSettings draft;
  SamplingSettings sampling;
  std::uint64_t seed, texts;
};

// What was written of a text since it was last asked for.
struct Piece {
  std::size_t request;
  std::uint64_t seed;
  std::string text;    // UTF-8
  Finish finish;       // none: it goes on
  std::size_t tokens;  // so far
};

class Session {
 public:
  // lanes: texts that are written at once; one alone has its rows shared by the threads.
  // The vocabulary and the networks must stay.
  Session(const Vocabulary& vocabulary, std::vector<Voice> voices, std::size_t lanes,
          std::size_t threads);

  // Let texts join, from any thread; gives the number of the request, from 0 on.
  std::size_t add(Request request);

  // Write on for so long, or until all texts are over.
  std::vector<Piece> run(std::chrono::microseconds duration);

  // Whether nothing is left to write; not to be asked during a `run`.
  bool is_over() const;

  // End the writing for good, from any thread, before a `run` has finished its step.
  void cancel() { is_cancelled_ = true; }

 private:
  using Clock = std::chrono::steady_clock;

  // A request some of whose texts have not begun.
  struct Waiting {
    std::shared_ptr<const Request> request;
    std::size_t number;
    std::uint64_t begun;
  };

  // A place where one text after another is written.
  struct Lane {
    std::shared_ptr<const Request> request;
    std::size_t number;
    std::uint64_t seed;
    std::optional<Draft> draft;
    std::vector<State> states;  // of each voice
    std::vector<std::int32_t> recent;
    std::int32_t token;
  };

  // Lanes whose networks take their steps together.
  struct Group {
    std::vector<Lane> lanes;
    Sampler sampler;
    std::vector<std::vector<Reading>> readings;  // of each voice, for the next step
    std::vector<Piece> pieces;
    Aligned<float> mixed;
    bool is_done;
  };

  void write(Group& group, Clock::time_point deadline, const Worker& worker);
  void choose_tokens(Group& group);
  void step(const Group& group, const Worker& worker) const;
  bool begin(Lane& lane);
  bool choose(Group& group, Lane& lane);
  void mix(Group& group, Lane& lane) const;

  const Vocabulary& vocabulary_;
  std::vector<Voice> voices_;
  std::vector<Group> groups_;
  std::size_t workers_;  // of each group
  std::atomic<bool> is_cancelled_{false};

  mutable std::mutex mutex_;  // of the two below
  std::deque<Waiting> waiting_;
  std::size_t requests_ = 0;
};

}  // namespace sunspring
