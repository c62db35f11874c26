// Threads that work at the same time, and those that take a step together.

#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <vector>

#ifndef __wasm__
#include <mutex>
#include <thread>
#endif

#include "range.h"
#include "threads/barrier.h"

namespace sunspring {

#ifdef __wasm__

// WebAssembly has one thread here: it does one share of the work after another.
constexpr bool kHasThreads = false;
struct Mutex {};
struct [[maybe_unused]] Lock {
  explicit Lock(Mutex&) {}
};
inline void in_threads(std::size_t count, const std::function<void(std::size_t)>& work) {
  for (std::size_t index = 0; index < count; ++index) work(index);
}

#else

constexpr bool kHasThreads = true;
using Mutex = std::mutex;
using Lock = std::lock_guard<Mutex>;

// Call `work(index)` in so many threads, of which this is the first; throws what one of them threw.
inline void in_threads(std::size_t count, const std::function<void(std::size_t)>& work) {
  std::vector<std::exception_ptr> thrown(count);
  const auto guarded = [&](std::size_t index) {
    try {
      work(index);
    } catch (...) {
      thrown[index] = std::current_exception();
    }
  };
  std::vector<std::thread> others;
  for (std::size_t index = 1; index < count; ++index) others.emplace_back(guarded, index);
  guarded(0);
  for (std::thread& other : others) other.join();
  for (const std::exception_ptr& each : thrown) {
    if (each) std::rethrow_exception(each);
  }
}

#endif

// Of so many threads, those that can work at the same time; at least one.
constexpr std::size_t usable(std::size_t threads) { return kHasThreads && threads ? threads : 1; }

// One thread of those that take a step together.
struct Worker {
  std::size_t index = 0, count = 1;
  Barrier* barrier = nullptr;
  const std::atomic<bool>* cancelled = nullptr;

  bool is_first() const { return index == 0; }
  bool is_cancelled() const { return cancelled && *cancelled; }
  void wait() const {
    if (barrier) barrier->wait();
  }
  Range share(std::size_t total) const { return sunspring::share(total, index, count); }
};

}  // namespace sunspring
