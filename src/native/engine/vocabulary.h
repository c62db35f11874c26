// What tokens stand for, as tokenizer.json has it.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sunspring {

struct Vocabulary {
  static constexpr std::int32_t kNone = -1;

  std::vector<std::string> pieces;  // UTF-8, or parts of it
  std::int32_t end = kNone, unknown = kNone;
  std::int32_t start;  // stands before a document's first token
};

// Parse what is in tokenizer.json; throws ModelError.
Vocabulary read_vocabulary(std::string_view document);

}  // namespace sunspring
