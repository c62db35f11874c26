// The threads of training. They wait by spinning for a moment, and then sleep: PyTorch's would spin
// on, and halve the speed or worse where other programs need a processor too.

#pragma once

#include <cstddef>

#include "engine/range.h"

namespace sunspring {

class Barrier;

// One of the threads that do a piece of work together.
struct Member {
  std::size_t index, count;
  Barrier* barrier;  // null if it is alone
};

// Wait until all of them are here.
void meet(const Member& member);

// Call work(context, member) in all threads, of which the caller's is one.
void in_team(void (*work)(const void* context, const Member& member), const void* context);

// How many threads that is: at least one.
void set_threads(std::size_t count);

// What follows is compiled for each instruction set, which needs its own.

static inline Range share(std::size_t total, const Member& member) {
  return share(total, member.index, member.count);
}

template <typename Work>
static void in_team(const Work& work) {
  in_team([](const void* context,
                const Member& member) { (*static_cast<const Work*>(context))(member); },
             &work);
}

}  // namespace sunspring
