// Where threads meet that do a piece of work together.

#pragma once

#include <atomic>
#include <cstddef>

#ifndef __wasm__
#include <condition_variable>
#include <mutex>
#endif

namespace sunspring {

#ifdef __wasm__

// WebAssembly has one thread here, which waits for nobody.
class Barrier {
 public:
  explicit Barrier(std::size_t) {}
  void wait() {}
};

#else

// Tell the processor that a loop waits: to the other thread of its core it leaves more.
inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) && defined(__GNUC__)
  __asm__ __volatile__("yield");
#endif
}

// Lets `count` threads meet. They spin for as long as one is late that shares the work evenly; then
// they sleep, as it has lost its processor to another program, or has other things to do.
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

  // Whoever ends the round sees a sleeper counted, or the sleeper sees the round ended.
  template <typename Condition>
  void sleep_until(Condition is_over) {
    std::unique_lock<std::mutex> lock(mutex_);
    sleeping_.fetch_add(1);
    ended_.wait(lock, is_over);
    sleeping_.fetch_sub(1);
  }
  void wake_all() {
    const std::lock_guard<std::mutex> lock(mutex_);
    ended_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable ended_;
};

#endif

}  // namespace sunspring
