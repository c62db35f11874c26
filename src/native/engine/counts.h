// How often strings of tokens stood in the training text, and what that adds to a prediction.

#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "aligned.h"
#include "kernels.h"
#include "span.h"

namespace sunspring {

class Container;

// A network and n-grams of the orders 1 to K as one model (docs/reference/model-format.md, "The
// counts"). The context of order k is the last k − 1 tokens.
class Counts {
 public:
  // Of the orders 2 to K: the number of the context among the strings of the order below, or −1 if
  // it was never seen.
  using Contexts = std::vector<std::int32_t>;

  // Parse what is in counts.safetensors; throws ModelError.
  Counts(std::string_view file, std::size_t vocabulary_size);

  // Before a text, and before the token that stands before every text.
  Contexts initial() const { return Contexts(orders_.size(), kUnseen); }
  void read(Contexts& contexts, std::int32_t token) const;

  // Turn the logits of a network, padded with `kForbidden`, into the mixture's log-probabilities;
  // there must be as much room.
  void mix(const Contexts& contexts, float* logits, float* room, const Kernels& kernels) const;

 private:
  static constexpr std::int32_t kUnseen = -1;

  struct Follower {
    std::int32_t token, count;
  };
  struct Context {
    std::uint32_t begin;  // its first follower; they end where those of the next context begin
    std::int32_t count;
  };

  // The strings of one order: contexts, each with the tokens that followed it, ascending.
  struct Order {
    std::vector<Context> contexts;  // and one more, for the end
    std::vector<Follower> strings;

  };

  // What an order knows of a context.
  struct Seen {
    Span<Follower> followers;
    float count, types;  // how often it was seen, and the number of its followers, or 1 without any

    float sum() const { return count + types; }
  };
  // The shares of the network and of each order, not divided by their sum, which it gives.
  static constexpr std::size_t kMostShares = 2 * kRows;
  float weigh(float entropy, const Seen* seen, float* shares, const Kernels& kernels) const;
  Seen look_up(std::size_t order, std::int32_t context) const;

  static Order decode_tokens(const Container& file, std::size_t vocabulary_size);
  // `suffixes` are those of the contexts, numbered as contexts of the order below, and then those
  // of the strings.
  static Order decode(const Container& file, std::size_t number, const Order& below,
                      std::vector<std::uint32_t>& suffixes);

  std::size_t vocabulary_size_;
  std::vector<Order> orders_;  // from 2 on
  Aligned<float> lowest_;      // the probabilities of order 1, padded
  Aligned<float> gate_;        // (2 K, 1 + K padded)
};

}  // namespace sunspring
