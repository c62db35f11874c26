#include "threads.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <vector>

#ifndef _WIN32
#include <unistd.h>
#endif

#include "threads/barrier.h"

namespace sunspring {
namespace {

long process() {
#ifdef _WIN32
  return 0;  // which has no fork
#else
  return getpid();
#endif
}

// Threads that stay for the next piece of work.
class Team {
 public:
  explicit Team(std::size_t count) : count_(count), begin_(count), end_(count), process_(process()) {
    for (std::size_t index = 1; index < count; ++index) {
      threads_.emplace_back([this, index] {
        for (begin_.wait(); !is_over_; begin_.wait()) {
          work_(context_, {index, count_, &end_});
          end_.wait();
        }
      });
    }
  }

  ~Team() {
    is_over_ = true;
    begin_.wait();
    for (std::thread& thread : threads_) thread.join();
  }

  // After a fork there are no threads but the one that forked.
  bool is_alive() const { return process_ == process(); }
  std::size_t count() const { return count_; }

  void run(void (*work)(const void*, const Member&), const void* context) {
    work_ = work;
    context_ = context;
    begin_.wait();
    work(context, {0, count_, &end_});
    end_.wait();
  }

 private:
  const std::size_t count_;
  Barrier begin_, end_;
  const long process_;
  bool is_over_ = false;
  void (*work_)(const void*, const Member&) = nullptr;
  const void* context_ = nullptr;
  std::vector<std::thread> threads_;
};

std::mutex mutex;  // of the team: one piece of work at a time
Team* team = nullptr;  // kept until the process ends: a fork has no threads that could be joined
std::atomic<std::size_t> wanted{1};

}  // namespace

void meet(const Member& member) {
  if (member.barrier) member.barrier->wait();
}

void set_threads(std::size_t count) { wanted = std::max<std::size_t>(1, count); }

void in_team(void (*work)(const void*, const Member&), const void* context) {
  const std::unique_lock<std::mutex> lock(mutex, std::try_to_lock);
  if (!lock.owns_lock() || wanted == 1) {  // another thread of Python's is at work with the team
    work(context, {0, 1, nullptr});
    return;
  }
  if (team && !team->is_alive()) team = nullptr;
  if (!team || team->count() != wanted) {
    delete team;
    team = new Team(wanted);
  }
  team->run(work, context);
}

}  // namespace sunspring
