// What a text must match, as an automaton over tokens. Python compiles it
// (sunspring.writing.patterns); here it is followed.

#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sunspring {

struct Pattern {
  static constexpr std::int64_t kUnreachable = std::int64_t{1} << 60;
  static constexpr std::int32_t kNowhere = -1;  // no state

  // Of state s, moves begins[s] to begins[s + 1] go by `tokens` to `targets`.
  std::vector<std::int64_t> begins;
  std::vector<std::int32_t> tokens, targets;
  std::vector<std::int64_t> needed;      // (states), characters from there to a match at least
  std::vector<std::uint8_t> finals;      // (states), whether what led there matches
  std::vector<std::int32_t> characters;  // (vocabulary), that begin in a token

  // Throws std::invalid_argument if the parts contradict one another.
  void check() const;

  std::int64_t cost(std::int64_t move) const {
    return characters[tokens[move]] + needed[targets[move]];
  }
  bool is_final(std::int32_t state) const { return finals[state]; }

  // Whether any token leads on to a match within so many characters.
  bool goes_on(std::int32_t state, std::int64_t within) const;

  // The state after a token, or `kNowhere`.
  std::int32_t follow(std::int32_t state, std::int32_t token) const;
};

}  // namespace sunspring
