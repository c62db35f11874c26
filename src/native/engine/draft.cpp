#include "draft.h"

#include <algorithm>
#include <string_view>

namespace sunspring {

std::int64_t Draft::remaining() const {
  return static_cast<std::int64_t>(settings_.length) - static_cast<std::int64_t>(begun_);
}

void Draft::forbid(float* logits, float forbidden) const {
  if (vocabulary_.unknown != Vocabulary::kNone) logits[vocabulary_.unknown] = forbidden;
  for (std::size_t token = 0; token < is_copying_.size(); ++token) {
    if (is_copying_[token]) logits[token] = forbidden;
  }
  if (!settings_.pattern) return;
  const Pattern& pattern = *settings_.pattern;
  std::vector<float> allowed(vocabulary_.pieces.size(), forbidden);
  const auto allow = [&](std::int32_t token) { allowed[token] = logits[token]; };
  for (std::int64_t move = pattern.begins[pattern_state_];
       move < pattern.begins[pattern_state_ + 1]; ++move) {
    if (pattern.cost(move) <= remaining()) allow(pattern.tokens[move]);
  }
  if (vocabulary_.end != Vocabulary::kNone && pattern.is_final(pattern_state_)) {
    allow(vocabulary_.end);
  }
  std::copy(allowed.begin(), allowed.end(), logits);
}

void Draft::push(std::int32_t token) {
  ++tokens_;
  if (token == vocabulary_.end) {
    end(Finish::end, decoder_.finish());
    return;
  }
  if (settings_.pattern) {
    pattern_state_ = settings_.pattern->follow(pattern_state_, token);
    begun_ += static_cast<std::size_t>(settings_.pattern->characters[token]);
  }
  const std::string whole = decoder_.push(vocabulary_.pieces[token]);
  if (settings_.novel) remember(whole);
  const std::string_view piece = first_characters(whole, settings_.length - written_);
  written_ += count_characters(piece);
  held_back_ += piece;
  release();
}

// Take in whole characters that came, and find what may not follow.
void Draft::remember(std::string_view text) {
  for (const char32_t character : code_points(text)) recent_.push_back(scatter(character));
  const std::size_t memory = settings_.novel->memory();
  if (recent_.size() > 2 * memory) {
    recent_.erase(recent_.begin(), recent_.end() - static_cast<std::ptrdiff_t>(memory));
  }
  settings_.novel->find(recent_, decoder_.begun(), is_copying_);
}

// Whether a token may follow that copies nothing.
bool Draft::may_go_on() const {
  if (!settings_.pattern) {
    for (std::size_t token = 0; token < is_copying_.size(); ++token) {
      if (!is_copying_[token] && static_cast<std::int32_t>(token) != vocabulary_.unknown) return true;
    }
    return false;
  }
  const Pattern& pattern = *settings_.pattern;
  if (vocabulary_.end != Vocabulary::kNone && pattern.is_final(pattern_state_)) return true;
  for (std::int64_t move = pattern.begins[pattern_state_];
       move < pattern.begins[pattern_state_ + 1]; ++move) {
    if (pattern.cost(move) <= remaining() && !is_copying_[pattern.tokens[move]]) return true;
  }
  return false;
}

bool Draft::is_over() {
  if (finish_ != Finish::none) return true;
  if (settings_.pattern) {
    if (!settings_.pattern->goes_on(pattern_state_, remaining())) {
      const bool is_complete =
          !settings_.pattern->goes_on(pattern_state_, Pattern::kUnreachable - 1);
      end(is_complete ? Finish::pattern : Finish::length);
    }
  } else if (written_ >= settings_.length) {
    end(Finish::length);
  }
  if (finish_ == Finish::none && settings_.novel && !may_go_on()) end(Finish::novel);
  return finish_ != Finish::none;
}

std::string Draft::take() {
  std::string result;
  result.swap(ready_);
  return result;
}

void Draft::end(Finish reason, const std::string& rest) {
  finish_ = reason;
  ready_ += held_back_ + rest;
  held_back_.clear();
}

// Make text ready, but for what may turn out to be the beginning of a stop text.
void Draft::release() {
  std::size_t found = std::string::npos, held = 0;
  for (const std::string& stop : settings_.stops) {
    found = std::min(found, held_back_.find(stop));
    for (std::size_t size = std::min(stop.size() - 1, held_back_.size()); size > held; --size) {
      if (held_back_.compare(held_back_.size() - size, size, stop, 0, size) == 0) held = size;
    }
  }
  if (found != std::string::npos) {
    held_back_.resize(found);
    end(Finish::stop);
    return;
  }
  const std::size_t shown = held_back_.size() - held;
  ready_.append(held_back_, 0, shown);
  held_back_.erase(0, shown);
}

}  // namespace sunspring
