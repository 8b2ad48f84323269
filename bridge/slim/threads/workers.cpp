#include "threads/workers.h"

#include <pthread.h>

#include <csignal>
#include <mutex>
#include <new>

#include "threads/team.h"

namespace slim {
namespace {

constexpr int kMostWorkers = 1024;
constexpr int64_t kRetryAfter = 1000000000;  // ns

struct Pool {
  std::mutex mutex;
  Worker* idle = nullptr;
  int idle_count = 0;
  Worker* all = nullptr;
  std::atomic<int> total{0};
  Word given_back{0};                     // counts; callers wait for it to change
  int waiting = 0;                        // such callers
  std::atomic<int64_t> refused_until{0};  // the system made no thread: when to ask again
};

void prepare_fork() noexcept;
void resume_parent() noexcept;
void resume_child() noexcept;

// Never destroyed: threads that nobody waits for use it up to the end of the process.
Pool& pool() {
  static Pool* const instance = [] {
    pthread_atfork(prepare_fork, resume_parent, resume_child);
    return new Pool;
  }();
  return *instance;
}

// A child has none of the threads. What they were doing is lost with them; the pool begins anew.
void prepare_fork() noexcept { pool().mutex.lock(); }
void resume_parent() noexcept { pool().mutex.unlock(); }
void resume_child() noexcept {
  Pool& own = pool();
  own.idle = own.all = nullptr;
  own.idle_count = own.waiting = 0;
  own.total = 0;
  own.refused_until = 0;
  own.mutex.unlock();
}

void* work(void* argument) {
  Worker& self = *static_cast<Worker*>(argument);
  Patience patience;
  for (;;) {
    const auto has_job = [&] { return self.job.load(std::memory_order_relaxed) != nullptr; };
    while (!patience.wait(has_job)) {
      self.asleep.store(1);
      if (self.job.load() == nullptr) sleep_while(self.asleep, 1);
      self.asleep.store(0);
    }
    Team* const team = self.job.exchange(nullptr, std::memory_order_acquire);
    if (team != nullptr) team->help(self);  // else it was taken back
  }
  return nullptr;
}

// A new thread, or nullptr.
Worker* start(Pool& own) noexcept {
  if (own.total.load(std::memory_order_relaxed) >= kMostWorkers || nanoseconds() < own.refused_until) return nullptr;
  auto* const worker = new (std::nothrow) Worker;
  if (worker == nullptr) return nullptr;
  // Signals are for the host's own threads; those that a faulty instruction raises stay with who raised them.
  sigset_t blocked;
  sigset_t before;
  sigfillset(&blocked);
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGPROF}) sigdelset(&blocked, number);
  pthread_sigmask(SIG_SETMASK, &blocked, &before);
  pthread_t thread{};
  const int status = pthread_create(&thread, nullptr, work, worker);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (status != 0) {
    delete worker;
    own.refused_until = nanoseconds() + kRetryAfter;
    return nullptr;
  }
  pthread_detach(thread);
  pthread_setname_np(thread, "aot-slim");
  worker->next = own.all;
  own.all = worker;
  own.total.fetch_add(1, std::memory_order_relaxed);
  return worker;
}

void push_idle(Pool& own, Worker& worker) noexcept {
  worker.next_idle = own.idle;
  own.idle = &worker;
  ++own.idle_count;
}

Worker* pop_idle(Pool& own) noexcept {
  Worker* const worker = own.idle;
  if (worker == nullptr) return nullptr;
  own.idle = worker->next_idle;
  --own.idle_count;
  return worker;
}

}  // namespace

int take_workers(int count, Worker** taken, Want want) noexcept {
  Pool& own = pool();
  std::unique_lock<std::mutex> lock(own.mutex);
  if (want == Want::kAll) {
    for (;;) {
      while (own.idle_count < count) {
        Worker* const made = start(own);
        if (made == nullptr) break;
        push_idle(own, *made);
      }
      if (own.idle_count >= count) break;
      if (own.total.load(std::memory_order_relaxed) < count) return 0;
      const uint32_t seen = own.given_back.load();
      ++own.waiting;
      lock.unlock();
      sleep_while(own.given_back, seen);
      lock.lock();
      --own.waiting;
    }
  }
  int number = 0;
  while (number < count) {
    Worker* worker = pop_idle(own);
    const bool may_make = want == Want::kMore || own.total.load(std::memory_order_relaxed) < count;
    if (worker == nullptr && may_make) worker = start(own);
    if (worker == nullptr) break;
    taken[number++] = worker;
  }
  return number;
}

void assign(Worker& worker, Team& team) noexcept {
  worker.job.store(&team);
  if (worker.asleep.exchange(0) != 0) wake(worker.asleep, 1);
}

void give_back(Worker& worker) noexcept {
  Pool& own = pool();
  const std::lock_guard<std::mutex> lock(own.mutex);
  push_idle(own, worker);
  if (own.waiting > 0) {
    own.given_back.fetch_add(1);
    wake(own.given_back);
  }
}

int possible_threads(int count) noexcept {
  Pool& own = pool();
  if (own.total.load(std::memory_order_relaxed) + 1 >= count) return count;
  const std::lock_guard<std::mutex> lock(own.mutex);
  while (own.total.load(std::memory_order_relaxed) + 1 < count) {
    Worker* const made = start(own);
    if (made == nullptr) return own.total.load(std::memory_order_relaxed) + 1;
    push_idle(own, *made);
  }
  return count;
}

}  // namespace slim
