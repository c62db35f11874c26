#include "counts.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "packed.h"
#include "safetensors.h"
#include "state.h"

namespace sunspring {
namespace {

constexpr std::size_t kHighest = 16;  // order
constexpr float kCountScale = 5;      // of the logarithms of counts among the gate's features
constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();

[[noreturn]] void fail(const char* what) {
  throw ModelError(std::string("counts.safetensors ") + what);
}

void check(bool is_sound) {
  if (!is_sound) fail("is damaged: its parts contradict one another");
}

// A stream of bits, from the least significant one of each byte on.
class Bits {
 public:
  explicit Bits(std::string_view bytes) : bytes_(bytes) {}

  // A number of at most 32 bits.
  std::uint32_t take(std::size_t width) {
    for (; size_ < width; size_ += 8) {
      if (bytes_.empty()) fail("is damaged: it has too few bits");
      bits_ |= std::uint64_t{static_cast<unsigned char>(bytes_.front())} << size_;
      bytes_.remove_prefix(1);
    }
    const auto result = static_cast<std::uint32_t>(bits_ & ((std::uint64_t{1} << width) - 1));
    bits_ >>= width, size_ -= width;
    return result;
  }

  // A number in unary: so many ones, and a zero.
  std::size_t take_unary() {
    std::size_t result = 0;
    while (take(1)) ++result;
    return result;
  }

  // Whether nothing is left but the zeros that fill the last byte.
  bool is_over() const { return bytes_.empty() && !bits_; }

 private:
  std::string_view bytes_;
  std::uint64_t bits_ = 0;  // that were fetched, `size_` of them
  std::size_t size_ = 0;
};

std::size_t bit_length(std::size_t value) {
  std::size_t result = 0;
  for (; value; value >>= 1) ++result;
  return result;
}

}  // namespace

Counts::Counts(std::string_view content, std::size_t vocabulary_size)
    : vocabulary_size_(vocabulary_size), lowest_(padded(vocabulary_size)) {
  const Container file("counts.safetensors", "its gate", content);
  const Container::Shape& shape = file.shape("gate");
  if (shape.size() != 2 || shape[1] < 2 || shape[1] > 1 + kHighest ||
      shape[0] != 2 * (shape[1] - 1)) {
    fail("has a gate that is not of 1 to 16 orders");
  }
  const std::vector<float> gate = file.floats("gate", shape);
  if (!std::all_of(gate.begin(), gate.end(), [](float x) { return std::isfinite(x); })) {
    fail("has a gate that is not finite");
  }
  const std::size_t highest = shape[1] - 1, width = padded(shape[1]);
  gate_ = Aligned<float>(shape[0] * width);
  for (std::size_t row = 0; row < shape[0]; ++row) {
    std::copy_n(&gate[row * shape[1]], shape[1], &gate_[row * width]);
  }

  orders_.push_back(decode_tokens(file, vocabulary_size));
  double total = 0, types = 0;
  for (const Follower& each : orders_[0].strings) total += each.count, types += each.count > 0;
  types = std::max(types, 1.0);
  for (const Follower& each : orders_[0].strings) {
    const double lower = 1 / static_cast<double>(vocabulary_size);
    lowest_[each.token] = static_cast<float>((each.count + types * lower) / (total + types));
  }
  std::vector<std::uint32_t> suffixes(vocabulary_size);  // the only context of order 1
  for (std::size_t order = 2; order <= highest; ++order) {
    orders_.push_back(decode(file, order, orders_.back(), suffixes));
  }
  orders_.erase(orders_.begin());
  if (file.count() != 2 + 5 * (highest - 1)) fail("has tensors that nothing asks for");
}

Counts::Order Counts::decode_tokens(const Container& file, std::size_t vocabulary_size) {
  Order result;
  std::int64_t total = 0;
  for (const std::int32_t count : file.integers("1.counts", {vocabulary_size})) {
    check(count >= 0);
    total += count;
    result.strings.push_back({static_cast<std::int32_t>(result.strings.size()), count});
  }
  check(total <= kMost && result.strings.size() <= static_cast<std::size_t>(kMost));
  const auto end = static_cast<std::uint32_t>(vocabulary_size);
  result.contexts = {{0, static_cast<std::int32_t>(total)}, {end, 0}};
  return result;
}

// What follows a context is a choice among what followed its suffix, the context without its oldest
// token.
Counts::Order Counts::decode(const Container& file, std::size_t number, const Order& below,
                             std::vector<std::uint32_t>& suffixes) {
  const std::string name = std::to_string(number) + ".";
  const Container::Shape& shape = file.shape(name + "empty");
  check(shape.size() == 1);
  const std::vector<std::int32_t> empty = file.integers(name + "empty", shape);
  Bits followers(file.stream(name + "followers")), ranks(file.stream(name + "ranks"));
  Bits classes(file.stream(name + "classes")), digits(file.stream(name + "digits"));
  Order result;
  std::vector<std::uint32_t> longer;  // suffixes of the strings, which are the next contexts
  std::size_t passed = 0;             // of those that are empty
  for (std::size_t context = 0; context < suffixes.size(); ++context) {
    result.contexts.push_back({static_cast<std::uint32_t>(result.strings.size()), 0});
    if (passed < empty.size() && empty[passed] == static_cast<std::int64_t>(context)) {
      ++passed;
      continue;
    }
    const Context* shortened = &below.contexts[suffixes[context]];
    const std::uint32_t first = shortened[0].begin, candidates = shortened[1].begin - first;
    check(candidates > 0);
    const std::size_t width = bit_length(candidates - 1);
    const std::size_t count = candidates > 1 ? 1 + followers.take_unary() : 1;
    std::int64_t total = 0, before = -1;
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t rank = ranks.take(width);
      check(rank > before && rank < candidates);
      before = rank;
      const Follower& shorter = below.strings[first + rank];
      std::int32_t times = 1;
      if (shorter.count > 1) {
        const std::size_t bits = classes.take_unary();
        check(bits < 31);
        times = static_cast<std::int32_t>(std::uint32_t{1} << bits | digits.take(bits));
      }
      total += times;
      result.strings.push_back({shorter.token, times});
      longer.push_back(first + rank);
    }
    check(total <= kMost && result.strings.size() <= static_cast<std::size_t>(kMost));
    result.contexts.back().count = static_cast<std::int32_t>(total);
  }
  result.contexts.push_back({static_cast<std::uint32_t>(result.strings.size()), 0});
  check(passed == empty.size());
  for (const Bits* bits : {&followers, &ranks, &classes, &digits}) check(bits->is_over());
  suffixes = std::move(longer);
  return result;
}

Counts::Seen Counts::look_up(std::size_t order, std::int32_t context) const {
  if (context == kUnseen) return {{}, 0, 1};
  const Order& in = orders_[order];
  const Context* found = &in.contexts[context];  // and the next one
  const Span<Follower> followers = {in.strings.data() + found[0].begin,
                                    found[1].begin - found[0].begin};
  const std::size_t types = std::max<std::size_t>(followers.size, 1);
  return {followers, static_cast<float>(found->count), static_cast<float>(types)};
}

void Counts::read(Contexts& contexts, std::int32_t token) const {
  if (contexts.empty()) return;
  for (std::size_t order = contexts.size() - 1; order-- > 0;) {
    const Span<Follower> followers = look_up(order, contexts[order]).followers;
    const Follower* found =
        std::lower_bound(followers.begin(), followers.end(), token,
                         [](const Follower& each, std::int32_t than) { return each.token < than; });
    const bool is_seen = found != followers.end() && found->token == token;
    contexts[order + 1] =
        is_seen ? static_cast<std::int32_t>(found - orders_[order].strings.data()) : kUnseen;
  }
  contexts[0] = token;
}

// Each order's P_k = (count + types · P_{k−1}) / (total + types) is unrolled: the mixture is a sum of
// the network's probabilities, those of order 1, and the counts of the higher ones, each times a
// weight of its own.
void Counts::mix(const Contexts& contexts, float* logits, float* room,
                 const Kernels& kernels) const {
  const std::size_t size = lowest_.size(), orders = orders_.size();
  const float largest = kernels.largest(logits, size);
  for (std::size_t i = 0; i < size; ++i) logits[i] -= largest;
  std::copy_n(logits, size, room);
  alignas(64) float total[kRows];
  std::fill_n(total, kRows, kernels.exponentials(room, size, 0, 1));
  std::fill(room + vocabulary_size_, room + size, 0.0f);
  const float network = 1 / total[0], mean = kernels.dot(room, logits, size) * network;
  kernels.logarithms(total, kRows);

  Seen seen[kHighest];
  for (std::size_t order = 0; order < orders; ++order) seen[order] = look_up(order, contexts[order]);
  alignas(64) float shares[kMostShares];
  const float all = weigh(total[0] - mean, seen, shares, kernels);

  float weights[kHighest];  // of each time that a follower was counted
  float rest = 0;           // the share of an order and what the higher ones leave it
  for (std::size_t order = orders; order-- > 0;) {
    rest += shares[2 + order] / all;
    weights[order] = rest / seen[order].sum();
    rest *= seen[order].types / seen[order].sum();
  }
  rest += shares[1] / all;
  kernels.accumulate(room, shares[0] / all * network, lowest_.data(), rest, size);
  for (std::size_t order = 0; order < orders; ++order) {
    for (const Follower& each : seen[order].followers) {
      room[each.token] += weights[order] * static_cast<float>(each.count);
    }
  }
  for (std::size_t i = 0; i < size; ++i) room[i] += kLeast;
  kernels.logarithms(room, size);
  std::copy_n(room, vocabulary_size_, logits);
}

float Counts::weigh(float entropy, const Seen* seen, float* shares, const Kernels& kernels) const {
  const std::size_t orders = orders_.size(), width = padded(orders + 2);
  alignas(64) float logarithms[kRows];
  std::fill_n(logarithms, kRows, 1.0f);
  for (std::size_t order = 0; order < orders; ++order) logarithms[order] = 1 + seen[order].count;
  kernels.logarithms(logarithms, kRows);

  std::fill_n(shares, width, 0.0f);
  std::fill(shares + orders + 2, shares + width, kForbidden);
  const float* row = gate_.data();
  const auto add = [&](float feature) {
    kernels.accumulate(shares, 1, row, feature, width);
    row += width;
  };
  add(1);
  add(entropy);
  for (std::size_t order = 0; order < orders; ++order) add(seen[order].types / seen[order].sum());
  for (std::size_t order = 0; order < orders; ++order) add(logarithms[order] / kCountScale);
  return kernels.exponentials(shares, width, kernels.largest(shares, width), 1);
}

}  // namespace sunspring
