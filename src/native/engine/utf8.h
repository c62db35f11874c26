// UTF-8 that arrives in pieces.

#pragma once

#include <string>
#include <string_view>

namespace sunspring {

// Passes whole characters on and holds back one that has only begun. What is not UTF-8 becomes
// U+FFFD, one for each longest beginning of a character (Unicode 15, section 3.9), as in Python.
class Utf8Decoder {
 public:
  // The characters that a piece completes.
  std::string push(std::string_view piece);
  // What is left when no more comes.
  std::string finish();
  // The bytes of a character that has only begun.
  const std::string& begun() const { return begun_; }

 private:
  bool fits(unsigned char next) const;

  std::string begun_;
  std::size_t size_ = 0;  // of the whole character that has begun
};

// The characters of valid UTF-8.
std::u32string code_points(std::string_view text);

inline bool begins_character(char byte) { return (byte & 0xC0) != 0x80; }

// The beginning of a valid text that has so many characters, or all of it.
std::string_view first_characters(std::string_view text, std::size_t count);

std::size_t count_characters(std::string_view text);

}  // namespace sunspring
