// Waiting for a number in memory to change: a short while awake, then asleep.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>

namespace slim {

using Word = std::atomic<uint32_t>;

// Sleeps while the word has this value; may also return for no reason.
inline void sleep_while(Word& word, uint32_t value) noexcept {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
}

// Wakes threads that sleep on the word, which need not exist any more.
inline void wake(Word& word, int count = INT_MAX) noexcept {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

inline void relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

inline int64_t nanoseconds() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * int64_t{1000000000} + now.tv_nsec;
}

// A lock that is nothing but zeros while nobody holds it.
class FutexLock {
 public:
  void lock() noexcept {
    uint32_t seen = kFree;
    if (word_.compare_exchange_strong(seen, kHeld)) return;
    while (word_.exchange(kWanted) != kFree) sleep_while(word_, kWanted);
  }
  void unlock() noexcept {
    if (word_.exchange(kFree) == kWanted) wake(word_, 1);
  }

 private:
  enum : uint32_t { kFree, kHeld, kWanted };
  Word word_{kFree};
};

// How long a thread waits awake. Sleeping and being woken costs some ten microseconds, which regions that follow one
// another closely would pay each time; but where other work wants the processors, who waits awake takes them from it.
// That is seen when the clock jumps: then nobody waits awake for a while.
class Patience {
 public:
  // Waits awake until done() or patience ends; returns done().
  template <class Done>
  bool wait(const Done& done) noexcept {
    if (done()) return true;
    const int64_t begin = nanoseconds();
    if (begin < busy_until_.load(std::memory_order_relaxed)) return false;
    for (int64_t last = begin;;) {
      for (int i = 0; i < kPauses; ++i) {
        relax();
        if (done()) return true;
      }
      const int64_t now = nanoseconds();
      if (now - last > kJump) {
        busy_until_.store(now + kBusy, std::memory_order_relaxed);
        return done();
      }
      if (now - begin > kMost) return done();
      last = now;
    }
  }

 private:
  static constexpr int kPauses = 16;
  static constexpr int64_t kMost = 100000;    // ns: as long as a model commonly stays in one thread
  static constexpr int64_t kJump = 50000;     // ns: this thread did not run
  static constexpr int64_t kBusy = 20000000;  // ns

  static inline std::atomic<int64_t> busy_until_{0};
};

}  // namespace slim
