// Threads that work at the same time, and those that take a step together.

#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <vector>

#ifndef __wasm__
#include <condition_variable>
#include <mutex>
#include <thread>
#endif

#include "range.h"

namespace sunspring {

#ifdef __wasm__

// WebAssembly has one thread here: it does one share of the work after another.
constexpr bool kHasThreads = false;
struct Mutex {};
struct [[maybe_unused]] Lock {
  explicit Lock(Mutex&) {}
};
inline void pause() {}
inline void in_threads(std::size_t count, const std::function<void(std::size_t)>& work) {
  for (std::size_t index = 0; index < count; ++index) work(index);
}

#else

constexpr bool kHasThreads = true;
using Mutex = std::mutex;
using Lock = std::lock_guard<Mutex>;

// Tell the processor that a loop waits: to the other thread of its core it leaves more.
inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
  __asm__ __volatile__("yield");
#endif
}

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

// Lets `count` threads meet. A step takes microseconds, so they spin for a little longer than that;
// then they sleep, as a thread that is late has lost its processor to another program.
class Barrier {
 public:
  explicit Barrier(std::size_t count) : count_(count) {}

  void wait() {
    const std::size_t round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == count_) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1);
      if (sleeping_.load() > 0) wake_all();
      return;
    }
    for (int spins = 0; spins < kSpins; ++spins) {
      if (round_.load(std::memory_order_acquire) != round) return;
      pause();
    }
    sleep_until([&] { return round_.load() != round; });
  }

 private:
  static constexpr int kSpins = 2'000;

  const std::size_t count_;
  alignas(64) std::atomic<std::size_t> arrived_{0};
  alignas(64) std::atomic<std::size_t> round_{0};
  std::atomic<int> sleeping_{0};

#ifdef __wasm__
  template <typename Condition>
  void sleep_until(Condition) {}
  void wake_all() {}
#else
  // Whoever ends the round sees a sleeper counted, or the sleeper sees the round ended.
  template <typename Condition>
  void sleep_until(Condition is_over) {
    std::unique_lock<std::mutex> lock(mutex_);
    sleeping_.fetch_add(1);
    ended_.wait(lock, is_over);
    sleeping_.fetch_sub(1);
  }
  void wake_all() {
    const Lock lock(mutex_);
    ended_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable ended_;
#endif
};

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
