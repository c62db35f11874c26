// Writing: texts from seeds, many at once, each as if it were alone.

#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "crew.h"
#include "draft.h"
#include "reader.h"
#include "sampling.h"

namespace sunspring {

// A model that has a share in the predictions of another.
struct Blended {
  std::shared_ptr<const Model> model;
  float share;
  Span<std::int64_t> tokens;  // (vocabulary of the other), as this one knows them; −1: it does not
};

// Texts to be written alike, one for each seed from `seed` on.
struct Request {
  std::vector<const Reader*> readers;  // one of each model, after the prompt
  Span<std::int64_t> recent;           // the latest tokens of the prompt
  std::uint64_t seed, texts;
  DraftSettings draft;  // without `novel` and `prompt`, which are made of the last two
  SamplingSettings sampling;
  std::shared_ptr<const KnownStretches> known = nullptr;  // that no text may have; may be null
  std::string prompt = "";  // what the texts begin with, if there are such stretches
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
  // lanes: texts that are written at once; one alone has its rows shared by threads.
  // Throws std::invalid_argument if the tokens of a blended model are not those of the vocabularies.
  Session(std::shared_ptr<const Model> model, const std::vector<Blended>& blend, std::size_t lanes,
          std::size_t threads);

  // Let texts join, from any thread; gives the number of the request, from 0 on. The readers are
  // not needed any longer. Throws std::invalid_argument if something is not of the models.
  std::size_t add(const Request& request);

  // Write on for so long, or until all texts are over.
  std::vector<Piece> run(std::chrono::microseconds duration);

  // Whether nothing is left to write.
  bool is_over() const;

  // End the writing for good, from any thread, before a `run` has finished its step.
  void cancel() { is_cancelled_ = true; }
  // End a request's texts, from any thread, before a `run` has finished its step: it gives nothing
  // more of them. The others are written as if nothing had happened. A request that is over, or was
  // never made, is none to end.
  void cancel(std::size_t request);

 private:
  using Clock = std::chrono::steady_clock;

  // A model and its share. The vocabulary is that of the first.
  struct Voice {
    std::shared_ptr<const Model> model;
    float share;
    std::vector<std::int32_t> tokens;  // (vocabulary), as this model knows them; −1: it does not
  };

  // A request as it was checked.
  struct Job {
    std::vector<State> states;         // of each voice, after the prompt
    std::vector<std::int32_t> labels;  // of each voice
    std::vector<std::int32_t> recent;
    DraftSettings draft;
    SamplingSettings sampling;
    std::uint64_t seed, texts;
    std::size_t number;
    std::uint64_t begun = 0, over = 0;  // texts; under the session's mutex
    std::atomic<bool> is_cancelled{false};
  };

  // A place where one text after another is written.
  struct Lane {
    std::shared_ptr<Job> job;
    std::uint64_t seed;
    std::optional<Draft> draft;
    std::vector<State> states;  // of each voice
    std::vector<std::int32_t> recent;
    std::int32_t token;
  };

  // A piece and where it comes from, as that may be cancelled before the piece is given.
  struct Written {
    std::shared_ptr<const Job> job;
    Piece piece;
  };

  // Lanes whose networks take their steps together.
  struct Group {
    std::vector<Lane> lanes;
    Sampler sampler;
    std::vector<std::vector<Input>> inputs;  // of each voice, for the next step
    std::vector<Written> written;
    Aligned<float> mixed;
    bool is_done;
  };

  const Vocabulary& vocabulary() const { return voices_[0].model->vocabulary; }
  std::size_t write(Group& group, Clock::time_point deadline, const Worker& worker);
  void choose_tokens(Group& group);
  void step(const Group& group, const Worker& worker) const;
  bool begin(Lane& lane);
  bool choose(Group& group, Lane& lane);
  void mix(Group& group, Lane& lane) const;
  static void keep_piece(Group& group, Lane& lane);
  void end(Lane& lane);

  std::vector<Voice> voices_;
  std::vector<Group> groups_;
  Crew crew_;  // of each group
  std::atomic<bool> is_cancelled_{false};

  // Of the three below. A job must not come to its end under it: that may need Python's lock, whose
  // holder may wait for this one.
  mutable Mutex mutex_;
  std::map<std::size_t, std::shared_ptr<Job>> jobs_;  // that are not over, by their numbers
  std::size_t next_ = 0;                              // the first of them with texts that wait
  std::size_t requests_ = 0;
};

}  // namespace sunspring
