#include "copying.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>

#include "team.h"

namespace sunspring {
namespace {

constexpr std::int32_t kNone = -1;
constexpr std::size_t kStreams = 16;             // of a thread
constexpr std::size_t kWorthStreams = 1u << 12;  // bytes; fewer are read by one
constexpr std::size_t kWorthThreads = 1u << 16;  // the same of threads
constexpr std::size_t kLongest = std::size_t{1} << 28;  // so that states can be counted in 31 bits

std::uint64_t key_of(std::int32_t state, unsigned char byte) {
  return (static_cast<std::uint64_t>(state) << 8 | byte) + 1;
}

void fetch([[maybe_unused]] const void* soon) {
#ifdef __GNUC__
  __builtin_prefetch(soon);
#endif
}

}  // namespace

CopyFinder::CopyFinder(std::string_view text) {
  if (text.size() > kLongest) throw std::length_error("the text is too long to look for copies in");
  std::size_t room = 16;
  while (room < 6 * text.size()) room *= 2;  // there are at most three moves a byte
  moves_.assign(room, {0, kNone, kNone});
  states_.reserve(2 * text.size() + 1);
  add_state(0, kNone);
  Index last = 0;
  for (const char each : text) {
    last = extend(last, static_cast<unsigned char>(each));
    ends_.push_back(last);
  }
  for (State& state : states_) state.less = state.link == kNone ? 0 : states_[state.link].length;
}

CopyFinder::Index CopyFinder::add_state(Index length, Index link) {
  states_.push_back({length, link, 0, kNone, {}});
  return static_cast<Index>(states_.size() - 1);
}

std::size_t CopyFinder::first_slot(std::uint64_t key) const {
  return (key * 0x9E3779B97F4A7C15u >> 24) & (moves_.size() - 1);
}

std::size_t CopyFinder::slot_of(Index state, unsigned char byte) const {
  const std::uint64_t key = key_of(state, byte);
  const std::size_t mask = moves_.size() - 1;
  std::size_t slot = first_slot(key);
  while (moves_[slot].key != 0 && moves_[slot].key != key) slot = (slot + 1) & mask;
  return slot;
}

CopyFinder::Index CopyFinder::follow(Index state, unsigned char byte) const {
  return moves_[slot_of(state, byte)].target;
}

void CopyFinder::set_move(Index state, unsigned char byte, Index target) {
  const std::size_t slot = slot_of(state, byte);
  Move& move = moves_[slot];
  if (move.key == 0) {
    move.key = key_of(state, byte);
    move.next = states_[state].moves;
    states_[state].moves = static_cast<Index>(slot);
  }
  move.target = target;
}

// The state of the text with one more byte.
CopyFinder::Index CopyFinder::extend(Index last, unsigned char byte) {
  const Index added = add_state(states_[last].length + 1, 0);
  Index state = last;
  for (; state != kNone && follow(state, byte) == kNone; state = states_[state].link) {
    set_move(state, byte, added);
  }
  if (state == kNone) return added;
  const Index next = follow(state, byte);
  if (states_[state].length + 1 == states_[next].length) {
    states_[added].link = next;
    return added;
  }
  const Index clone = add_state(states_[state].length + 1, states_[next].link);
  for (Index slot = states_[next].moves; slot != kNone; slot = moves_[slot].next) {
    set_move(clone, static_cast<unsigned char>((moves_[slot].key - 1) & 0xFF), moves_[slot].target);
  }
  for (; state != kNone && follow(state, byte) == next; state = states_[state].link) {
    set_move(state, byte, clone);
  }
  states_[next].link = states_[added].link = clone;
  return added;
}

void CopyFinder::read(std::string_view piece, std::size_t threads) {
  const auto* begin = reinterpret_cast<const unsigned char*>(piece.data());
  const auto* last = begin + piece.size();
  if (piece.size() < kWorthThreads || threads == 0) threads = 1;
  const std::size_t each = piece.size() < kWorthStreams ? 1 : kStreams, count = each * threads;
  std::vector<Stream> streams;
  for (std::size_t index = 0; index < count; ++index) {
    const unsigned char* first = begin + piece.size() * index / count;
    streams.push_back({first, begin + piece.size() * (index + 1) / count, 0, 0});
  }
  streams[0].current = current_, streams[0].matched = matched_;
  in_threads(threads, [&](std::size_t thread) { read_on(&streams[each * thread], each, last); });
  // The first stream that came to the end has the longest stretch there.
  for (const Stream& stream : streams) {
    if (stream.at < last) continue;
    current_ = stream.current, matched_ = stream.matched;
    break;
  }
}

// Read streams to their ends, in turns.
void CopyFinder::read_on(Stream* streams, std::size_t count, const unsigned char* last) {
  std::vector<Stream*> going;
  for (Stream* stream = streams; stream < streams + count; ++stream) {
    if (stream->at < last) look_ahead(*stream), going.push_back(stream);
  }
  while (!going.empty()) {
    for (std::size_t index = 0; index < going.size();) {
      if (step(*going[index], last)) {
        ++index;
      } else {
        going[index] = going.back();
        going.pop_back();
      }
    }
  }
}

// Try one move, which has been looked at; tells whether the stream goes on.
bool CopyFinder::step(Stream& stream, const unsigned char* last) {
  const State& state = states_[stream.current];
  keep(stream);
  const Index next = moves_[slot_of(stream.current, *stream.at)].target;
  if (next == kNone && stream.current != 0) {
    stream.matched = state.less;
    stream.current = state.link;
  } else {
    ++stream.at;
    if (next != kNone) {
      stream.current = next;
      ++stream.matched;
    }
    if (stream.at == last || stream.matched <= stream.at - stream.end) {
      keep(stream);
      return false;
    }
  }
  look_ahead(stream);
  return true;
}

// Keep the length of the stretch that a stream has just read. (Not in the step that made it longer:
// its state is still on its way from memory.)
void CopyFinder::keep(const Stream& stream) {
  states_[stream.current].read.keep(stream.matched);
}

void CopyFinder::look_ahead(Stream& stream) const {
  fetch(&moves_[first_slot(key_of(stream.current, *stream.at))]);
  fetch(&states_[stream.current]);
}

void CopyFinder::part() { current_ = 0, matched_ = 0; }

std::vector<std::int64_t> CopyFinder::longest() const {
  std::vector<Index> by_length(states_.size());
  std::iota(by_length.begin(), by_length.end(), 0);
  std::sort(by_length.begin(), by_length.end(),
            [this](Index a, Index b) { return states_[a].length < states_[b].length; });
  std::vector<Index> found(states_.size());
  for (std::size_t state = 0; state < states_.size(); ++state) found[state] = states_[state].read.get();
  // Of a stretch that was read all suffixes were read too, and what has none has its suffixes'.
  for (auto state = by_length.rbegin(); state != by_length.rend(); ++state) {
    if (found[*state] && states_[*state].link > 0) found[states_[*state].link] = states_[*state].less;
  }
  for (const Index state : by_length) {
    if (!found[state] && states_[state].link > 0) found[state] = found[states_[state].link];
  }
  std::vector<std::int64_t> result;
  for (const Index state : ends_) result.push_back(found[state]);
  return result;
}

}  // namespace sunspring
