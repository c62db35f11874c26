#include "utf8.h"

#include <algorithm>

namespace sunspring {
namespace {

constexpr char kReplacement[] = "\uFFFD";

// Of the character that begins with a byte; 0 if none does.
std::size_t size_of_character(unsigned char first) {
  if (first < 0x80) return 1;
  if (first < 0xC2) return 0;  // the middle of a character, or a longer spelling of a short one
  if (first < 0xE0) return 2;
  if (first < 0xF0) return 3;
  return first < 0xF5 ? 4 : 0;
}

}  // namespace

bool Utf8Decoder::fits(unsigned char next) const {
  if (begun_.size() == 1) {  // neither too long a spelling, nor a surrogate, nor beyond U+10FFFF
    const auto first = static_cast<unsigned char>(begun_[0]);
    if (first == 0xE0 && next < 0xA0) return false;
    if (first == 0xED && next > 0x9F) return false;
    if (first == 0xF0 && next < 0x90) return false;
    if (first == 0xF4 && next > 0x8F) return false;
  }
  return next >= 0x80 && next <= 0xBF;
}

std::string Utf8Decoder::push(std::string_view piece) {
  std::string result;
  for (const char byte : piece) {
    if (size_ && !fits(static_cast<unsigned char>(byte))) result += finish();
    if (!size_) size_ = size_of_character(static_cast<unsigned char>(byte));
    if (!size_) {
      result += kReplacement;
      continue;
    }
    begun_.push_back(byte);
    if (begun_.size() == size_) {
      result += begun_;
      begun_.clear();
      size_ = 0;
    }
  }
  return result;
}

std::string Utf8Decoder::finish() {
  const std::string result = size_ ? kReplacement : "";
  begun_.clear();
  size_ = 0;
  return result;
}

std::u32string code_points(std::string_view text) {
  std::u32string result;
  for (const char byte : text) {
    const auto bits = static_cast<unsigned char>(byte);
    if (!begins_character(byte)) {
      if (!result.empty()) result.back() = result.back() << 6 | (bits & 0x3F);
    } else {
      result.push_back(bits < 0x80 ? bits : bits < 0xE0 ? bits & 0x1F : bits < 0xF0 ? bits & 0x0F : bits & 0x07);
    }
  }
  return result;
}

std::string_view first_characters(std::string_view text, std::size_t count) {
  std::size_t size = 0;
  for (; size < text.size(); ++size) {
    if (begins_character(text[size]) && count-- == 0) break;
  }
  return text.substr(0, size);
}

std::size_t count_characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), begins_character));
}

}  // namespace sunspring
