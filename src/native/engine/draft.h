// A text in the making: what its tokens may be, what of it may be shown, and when it is over. Does
// what sunspring.writing.drafts.Draft does.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pattern.h"
#include "random.h"
#include "stretches.h"
#include "utf8.h"
#include "vocabulary.h"

namespace sunspring {

struct DraftSettings {
  std::size_t length;                      // the most characters
  std::vector<std::string> stops;          // texts that end the writing, none empty
  std::shared_ptr<const Pattern> pattern;  // may be null
  std::shared_ptr<const NovelTokens> novel = nullptr;  // what may not be copied; may be null
  std::vector<std::uint64_t> prompt = {};              // its characters, scattered, if that is there
};

enum class Finish { none, length, stop, end, pattern, novel };

class Draft {
 public:
  // The vocabulary and the settings must stay.
  Draft(const Vocabulary& vocabulary, const DraftSettings& settings, std::uint64_t seed)
      : vocabulary_(vocabulary),
        settings_(settings),
        random_(seed),
        recent_(settings.prompt) {
    if (settings_.novel) {
      is_copying_.resize(vocabulary_.pieces.size());
      settings_.novel->find(recent_, decoder_.begun(), is_copying_);
    }
  }

  double uniform() { return random_.next(); }
  std::size_t tokens() const { return tokens_; }
  Finish finish() const { return finish_; }

  // Make the logits of tokens that may not come next `forbidden`.
  void forbid(float* logits, float forbidden) const;

  // Take the next token.
  void push(std::int32_t token);

  // End the text if nothing more may follow; tells whether it is over.
  bool is_over();

  // What was written since the last call and cannot be taken back any more; UTF-8.
  std::string take();

 private:
  std::int64_t remaining() const;
  void remember(std::string_view text);
  bool may_go_on() const;
  void end(Finish reason, const std::string& rest = "");
  void release();

  const Vocabulary& vocabulary_;
  const DraftSettings& settings_;
  Random random_;
  Utf8Decoder decoder_;
  std::int32_t pattern_state_ = 0;  // in the pattern; the first is where the prompt leaves it
  std::size_t tokens_ = 0;
  std::size_t written_ = 0;  // characters, held-back ones included
  std::size_t begun_ = 0;    // characters, an unfinished one included; counted for the pattern
  Finish finish_ = Finish::none;
  std::vector<std::uint64_t> recent_;     // the last characters, scattered, if copies are forbidden
  std::vector<std::uint8_t> is_copying_;  // (vocabulary), or none
  std::string ready_, held_back_;
};

}  // namespace sunspring
