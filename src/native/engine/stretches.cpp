#include "stretches.h"

#include <algorithm>
#include <map>
#include <stdexcept>

#include "utf8.h"

namespace sunspring {
namespace {

constexpr std::uint64_t kMultiplier = 0xD1342543DE82EF95u;
constexpr std::uint64_t kLast = (std::uint64_t{1} << 21) - 1;  // bits that are the last character
constexpr std::size_t kBucket = 4;                             // keys, on average

}  // namespace

// splitmix64 (Steele et al. 2014, "Fast splittable pseudorandom number generators")
std::uint64_t scatter(char32_t character) {
  std::uint64_t value = character + 0x9E3779B97F4A7C15u;
  value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9u;
  value = (value ^ value >> 27) * 0x94D049BB133111EBu;
  return value ^ value >> 31;
}

KnownStretches::KnownStretches(const std::uint64_t* keys, std::size_t count, std::size_t size)
    : keys_(keys), count_(count), size_(size), shift_(63) {
  if (size < 2) throw std::invalid_argument("a stretch has at least 2 characters");
  while (shift_ > 0 && (std::size_t{1} << (64 - shift_)) * kBucket < count) --shift_;
  const std::size_t buckets = std::size_t{1} << (64 - shift_);
  begins_.reserve(buckets + 1);
  for (std::size_t key = 0; key < count; ++key) {
    if (key && keys[key] <= keys[key - 1]) throw std::invalid_argument("the keys are not sorted");
    while (begins_.size() <= keys[key] >> shift_) begins_.push_back(key);
  }
  begins_.resize(buckets + 1, count);
}

const std::uint64_t* KnownStretches::at_least(std::uint64_t key) const {
  const std::uint64_t bucket = key >> shift_;
  return std::lower_bound(keys_ + begins_[bucket], keys_ + begins_[bucket + 1], key);
}

NovelTokens::NovelTokens(const Vocabulary& vocabulary, std::shared_ptr<const KnownStretches> known)
    : vocabulary_(vocabulary), known_(std::move(known)), before_(known_->size() - 1) {
  powers_.push_back(1);
  while (powers_.size() <= before_) powers_.push_back(powers_.back() * kMultiplier);
  whole_ = branches_after("");
}

std::vector<NovelTokens::Branch> NovelTokens::branches_after(const std::string& begun) const {
  std::map<std::u32string, Branch> found;
  for (std::size_t token = 0; token < vocabulary_.pieces.size(); ++token) {
    Utf8Decoder decoder;
    const std::u32string text = code_points(decoder.push(begun + vocabulary_.pieces[token]));
    for (std::size_t place = 0; place < text.size(); ++place) {
      found[text.substr(0, place)].tokens.emplace_back(text[place],
                                                       static_cast<std::int32_t>(token));
    }
  }
  std::vector<Branch> branches;
  for (auto& [beginning, branch] : found) {
    branch.length = std::min(beginning.size(), before_);
    branch.hash = 0;
    for (std::size_t place = beginning.size() - branch.length; place < beginning.size(); ++place) {
      branch.hash = branch.hash * kMultiplier + scatter(beginning[place]);
    }
    std::sort(branch.tokens.begin(), branch.tokens.end());
    branches.push_back(std::move(branch));
  }
  return branches;
}

void NovelTokens::find(const std::vector<std::uint64_t>& recent, const std::string& begun,
                       std::vector<std::uint8_t>& is_copying) const {
  std::fill(is_copying.begin(), is_copying.end(), 0);
  // Of the last 0, 1, 2, … characters of the text, the hash.
  std::vector<std::uint64_t> ends = {0};
  for (std::size_t size = 0; size < std::min(recent.size(), before_); ++size) {
    ends.push_back(ends.back() + recent[recent.size() - 1 - size] * powers_[size]);
  }
  const auto look_up = [&](const std::vector<Branch>& branches) {
    for (const Branch& branch : branches) {
      const std::size_t missing = before_ - branch.length;
      if (missing >= ends.size()) continue;
      const std::uint64_t hash = ends[missing] * powers_[branch.length] + branch.hash;
      const std::uint64_t first = hash & ~kLast, last = hash | kLast;
      for (const std::uint64_t* key = known_->at_least(first); key < known_->end() && *key <= last;
           ++key) {
        const auto character = static_cast<char32_t>(*key & kLast);
        for (auto each = std::lower_bound(branch.tokens.begin(), branch.tokens.end(),
                                          std::make_pair(character, std::int32_t{0}));
             each != branch.tokens.end() && each->first == character; ++each) {
          is_copying[each->second] = 1;
        }
      }
    }
  };
  if (begun.empty()) {
    look_up(whole_);
  } else {
    look_up(branches_after(begun));
  }
}

}  // namespace sunspring
