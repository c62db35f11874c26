// Which stretches of so many characters stand in a text, and which tokens would complete one. Python
// finds them (sunspring.stretches, which says what a key is); here they are looked up.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "vocabulary.h"

namespace sunspring {

class KnownStretches {
 public:
  // keys: sorted, of stretches of `size` characters, at least 2; they must stay.
  KnownStretches(const std::uint64_t* keys, std::size_t count, std::size_t size);

  std::size_t size() const { return size_; }

  // The first key that is at least this one, and where they end.
  const std::uint64_t* at_least(std::uint64_t key) const;
  const std::uint64_t* end() const { return keys_ + count_; }

 private:
  const std::uint64_t* keys_;
  std::size_t count_, size_;
  int shift_;                          // of a key to its bucket
  std::vector<std::uint64_t> begins_;  // of each bucket, and where the last one ends
};

// Finds the tokens that would complete a known stretch, as sunspring.stretches.NovelTokens does.
class NovelTokens {
 public:
  // The vocabulary must stay.
  NovelTokens(const Vocabulary& vocabulary, std::shared_ptr<const KnownStretches> known);

  // Characters of the end of a text that count.
  std::size_t memory() const { return before_; }

  // Set [token] of those that would; (vocabulary).
  //   recent: the scattered characters of the text so far, at least the last `memory()`
  //   begun: the bytes after it of a character that is not complete
  void find(const std::vector<std::uint64_t>& recent, const std::string& begun,
            std::vector<std::uint8_t>& is_copying) const;

 private:
  // What a token begins with, and where it goes on from there.
  struct Branch {
    std::size_t length;  // characters of the beginning that are hashed
    std::uint64_t hash;
    std::vector<std::pair<char32_t, std::int32_t>> tokens;  // by the character that follows, sorted
  };

  std::vector<Branch> branches_after(const std::string& begun) const;

  const Vocabulary& vocabulary_;
  std::shared_ptr<const KnownStretches> known_;
  std::size_t before_;                 // characters of a stretch but the last
  std::vector<std::uint64_t> powers_;  // (before + 1), of the hash's multiplier
  std::vector<Branch> whole_;          // after whole characters
};

// A character's number, scattered over 64 bits.
std::uint64_t scatter(char32_t character);

}  // namespace sunspring
