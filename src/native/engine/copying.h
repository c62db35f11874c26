// Which stretches of a text stand, byte for byte, in another one that may be far larger.

#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "huge.h"

namespace sunspring {

// The suffix automaton of a text (Blumer et al. 1985, "The smallest automaton recognizing the
// subwords of a text"). The other text is read through it once, piece by piece, and is not kept; the
// memory is less than 250 bytes for each of the first.
class CopyFinder {
 public:
  explicit CopyFinder(std::string_view text);

  // Read on in the other text, in so many threads.
  void read(std::string_view piece, std::size_t threads = 1);
  // No stretch goes on over this place in it.
  void part();

  // For each byte of the text, the longest stretch that ends there and stands in what was read.
  std::vector<std::int64_t> longest() const;

 private:
  using Index = std::int32_t;

  // The length of the longest stretch that threads have read.
  class Longest {
   public:
    Longest() = default;
    Longest(const Longest& other) : length_(other.get()) {}  // while no thread reads

    Index get() const { return length_.load(std::memory_order_relaxed); }
    void keep(Index length) {
      Index longest = get();
      while (longest < length &&
             !length_.compare_exchange_weak(longest, length, std::memory_order_relaxed)) {
      }
    }

   private:
    std::atomic<Index> length_{0};
  };

  struct State {
    Index length;    // of the longest stretch that it stands for
    Index link;      // the state of the longest of its suffixes that another one stands for
    Index less;      // that one's length
    Index moves;     // the first of a list, a place in the table
    Longest read;  // of its stretches
  };
  struct Move {
    std::uint64_t key;  // state · 256 + byte, plus 1; 0 is free
    Index target, next;  // next: of the same state, a place in the table; or kNone
  };

  // A place in the other text from which it is read on. Many are read in turns, as most of the time
  // goes into waiting for memory.
  struct Stream {
    const unsigned char* at;
    const unsigned char* end;  // of its share; it goes on while a stretch that began before it lasts
    Index current;
    Index matched;  // bytes of the longest stretch with which what it read ends
  };

  void read_on(Stream* streams, std::size_t count, const unsigned char* last);
  bool step(Stream& stream, const unsigned char* last);
  void keep(const Stream& stream);
  void look_ahead(Stream& stream) const;
  Index add_state(Index length, Index link);
  std::size_t first_slot(std::uint64_t key) const;
  std::size_t slot_of(Index state, unsigned char byte) const;
  Index follow(Index state, unsigned char byte) const;
  void set_move(Index state, unsigned char byte, Index target);
  Index extend(Index last, unsigned char byte);

  std::vector<State, HugePages<State>> states_;
  std::vector<Move, HugePages<Move>> moves_;  // hashed by their keys, with room for twice as many
  std::vector<Index> ends_;  // the state of the text up to each byte, this included
  Index current_ = 0, matched_ = 0;  // where the end of what was read has led to
};

}  // namespace sunspring
