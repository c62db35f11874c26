// How many threads take steps together.

#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

#include "team.h"

namespace sunspring {

// As many threads as are fastest now: all, half as many, and so on down to one. Beside other programs
// fewer may be, as all of them wait for one that has no processor. What the steps make must not
// depend on their number.
class Crew {
 public:
  explicit Crew(std::size_t most) {
    for (std::size_t threads = most; threads; threads /= 2) choices_.push_back({threads, 0});
  }

  // Call work(group, worker) in each of the threads, at the same time for all groups, of which each
  // has a crew. It takes some milliseconds, and returns how many steps it took; 0 if it is over.
  template <typename Work>
  void take_turn(std::size_t groups, const Work& work) {
    const std::size_t threads = choices_[now_].threads;
    Barrier barrier(threads);
    std::size_t steps = 0;
    const Clock::time_point began = Clock::now();
    in_threads(groups * threads, [&](std::size_t thread) {
      const Worker worker = {thread % threads, threads, threads > 1 ? &barrier : nullptr};
      const std::size_t taken = work(thread / threads, worker);
      if (thread == 0) steps = taken;
    });
    const std::chrono::duration<double> seconds = Clock::now() - began;
    if (steps) choose(static_cast<double>(steps) / seconds.count());
  }

 private:
  using Clock = std::chrono::steady_clock;

  struct Choice {
    std::size_t threads;
    double speed;  // when it was last taken
  };

  static constexpr std::size_t kTurns = 32;  // until another choice is tried again

  // Choose for the next turn, by the speed of the last one. The first does not count: caches are cold.
  void choose(double speed) {
    if (turns_++ == 0) return;
    choices_[now_].speed = speed;
    if (turns_ <= choices_.size()) {
      now_ = turns_ - 1;
      return;
    }
    const auto is_slower = [](const Choice& a, const Choice& b) { return a.speed < b.speed; };
    const auto best = std::max_element(choices_.begin(), choices_.end(), is_slower);
    now_ = best - choices_.begin();
    if (turns_ % kTurns) return;
    if (tried_++ % choices_.size() == now_) ++tried_;
    now_ = (tried_ - 1) % choices_.size();
  }

  std::vector<Choice> choices_;
  std::size_t now_ = 0, turns_ = 0, tried_ = 0;
};

}  // namespace sunspring
