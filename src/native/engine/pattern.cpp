#include "pattern.h"

#include <algorithm>
#include <stdexcept>

namespace sunspring {

void Pattern::check() const {
  const auto states = static_cast<std::int64_t>(needed.size());
  const auto moves = static_cast<std::int64_t>(tokens.size());
  const auto in_range = [](const auto& values, std::int64_t size) {
    return std::all_of(values.begin(), values.end(),
                       [size](std::int64_t value) { return value >= 0 && value < size; });
  };
  const bool is_sound = targets.size() == tokens.size() && begins.size() == needed.size() + 1 &&
                        finals.size() == needed.size() &&
                        begins.front() == 0 && begins.back() == moves &&
                        std::is_sorted(begins.begin(), begins.end()) && in_range(targets, states) &&
                        in_range(tokens, static_cast<std::int64_t>(characters.size())) &&
                        in_range(characters, kUnreachable) && in_range(needed, kUnreachable + 1);
  if (!is_sound) throw std::invalid_argument("the parts of a pattern contradict one another");
}

bool Pattern::goes_on(std::int32_t state, std::int64_t within) const {
  for (std::int64_t move = begins[state]; move < begins[state + 1]; ++move) {
    if (cost(move) <= within) return true;
  }
  return false;
}

std::int32_t Pattern::follow(std::int32_t state, std::int32_t token) const {
  for (std::int64_t move = begins[state]; move < begins[state + 1]; ++move) {
    if (tokens[move] == token) return targets[move];
  }
  return kNowhere;
}

}  // namespace sunspring
